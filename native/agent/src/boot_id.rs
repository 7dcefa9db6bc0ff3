//! `/proc/sys/kernel/random/boot_id` as workloads see it. The kernel draws its own once, before a template is saved: all
//! machines made from that would have the same.

use crate::sys::{self, Kept};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// In the agent's own tmpfs: no workload can write it.
const FILE: &str = "/run/vivarium/boot_id";
const SHOWN: &str = "/proc/sys/kernel/random/boot_id";

/// Draws another one. Not before the kernel's generator has been seeded.
pub fn renew() -> io::Result<()> {
    static OWN: Kept = Kept::new();
    renew_in(&*OWN.get(|| open_own(Path::new(FILE)))?)
}

/// In place: what is mounted in a root that runs already shows the new one.
fn renew_in(file: &File) -> io::Result<()> {
    file.write_all_at(&fresh()?, 0)
}

/// A file of the agent's own, as it is; made, with its directory, where it is missing.
pub fn open_own(file: &Path) -> io::Result<File> {
    let open = || {
        let mut options = File::options();
        options.write(true).create(true).truncate(false).open(file)
    };
    match (open(), file.parent()) {
        (Err(error), Some(directory)) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(directory)?;
            open()
        }
        (opened, _) => opened,
    }
}

/// A random UUID and a line feed, as `/proc/sys/kernel/random/uuid` has it: to ask that costs a restored guest a
/// millisecond of code that is run for nothing else.
fn fresh() -> io::Result<[u8; 37]> {
    let mut random = [0u8; 16];
    // SAFETY: a buffer of the length that is told. So few bytes come at once or, before there are any, not at all.
    sys::check(unsafe { libc::getrandom(random.as_mut_ptr().cast(), random.len(), 0) } as i64)?;
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let mut text = [b'-'; 37];
    text[36] = b'\n';
    let digits = b"0123456789abcdef";
    let mut at = 0;
    for (index, byte) in random.into_iter().enumerate() {
        at += usize::from(matches!(index, 4 | 6 | 8 | 10));
        text[at] = digits[usize::from(byte >> 4)];
        text[at + 1] = digits[usize::from(byte & 15)];
        at += 2;
    }
    Ok(text)
}

/// To be opened where the agent's root is still in sight. Nothing where none has been drawn.
pub fn open() -> io::Result<Option<File>> {
    match File::open(FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Over the kernel's own, in the root that the calling process has entered and in which `/proc` is mounted.
pub fn show(file: &File) -> io::Result<()> {
    sys::bind_read_only(file, Path::new(SHOWN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn an_id_is_a_random_uuid_as_the_kernel_writes_it() {
        let (one, other) = (fresh().expect("drawn"), fresh().expect("drawn"));
        assert_ne!(one, other);
        for id in [one, other] {
            let text = std::str::from_utf8(&id).expect("text");
            let parts: Vec<usize> = text.trim_end().split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12]);
            assert_eq!(&text[14..15], "4", "{text}");
            assert!("89ab".contains(&text[19..20]), "{text}");
            assert!(text.ends_with('\n'));
        }
    }

    #[test]
    fn whoever_has_the_file_open_reads_the_new_one() {
        let root = std::env::temp_dir().join(format!("viv-agent-boot-id-{}", std::process::id()));
        let file = root.join("run/boot_id");
        renew_in(&open_own(&file).expect("made")).expect("drawn");
        let first = fs::read_to_string(&file).expect("there");
        let mut open = File::open(&file).expect("open");
        renew_in(&open_own(&file).expect("made")).expect("drawn again");
        let mut second = String::new();
        open.read_to_string(&mut second).expect("read");
        fs::remove_dir_all(&root).expect("cleaned up");
        assert_eq!((first.len(), second.len()), (37, 37));
        assert_ne!(first, second);
    }
}
