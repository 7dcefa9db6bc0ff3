//! `/proc/sys/kernel/random/boot_id` as workloads see it. The kernel draws its own once, before a template is saved: all
//! machines made from that would have the same.

use crate::sys;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// In the agent's own tmpfs: no workload can write it.
const FILE: &str = "/run/vivarium/boot_id";
const SHOWN: &str = "/proc/sys/kernel/random/boot_id";
/// The kernel's generator, as text of always the same length.
const FRESH: &str = "/proc/sys/kernel/random/uuid";

/// Draws another one. Not before the kernel's generator has been seeded.
pub fn renew() -> io::Result<()> {
    renew_in(Path::new(FILE))
}

/// In place: what is mounted in a root that runs already shows the new one.
fn renew_in(file: &Path) -> io::Result<()> {
    let id = fs::read(FRESH)?;
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(file)?;
    file.write_all_at(&id, 0)
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
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    let shown = Path::new(SHOWN);
    sys::mount(&source, shown, "", libc::MS_BIND, "")?;
    let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    sys::mount("", shown, "", libc::MS_BIND | libc::MS_REMOUNT | flags, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn whoever_has_the_file_open_reads_the_new_one() {
        let root = std::env::temp_dir().join(format!("viv-agent-boot-id-{}", std::process::id()));
        let file = root.join("run/boot_id");
        renew_in(&file).expect("drawn");
        let first = fs::read_to_string(&file).expect("there");
        let mut open = File::open(&file).expect("open");
        renew_in(&file).expect("drawn again");
        let mut second = String::new();
        open.read_to_string(&mut second).expect("read");
        fs::remove_dir_all(&root).expect("cleaned up");
        assert_eq!((first.len(), second.len()), (37, 37));
        assert_ne!(first, second);
    }
}
