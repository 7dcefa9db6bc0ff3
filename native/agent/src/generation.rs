//! How often this machine has been made anew, as the host counts it. Told to whoever wants to know inside, and to every
//! host that comes: a number that has changed says that the machine was restored or copied.

use crate::etc_files::Way;
use crate::sys::Kept;
use crate::{boot_id, etc_files, kmsg, sys};
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// In the agent's own tmpfs. What else lies there, all may read.
const DIRECTORY: &str = "/run/vivarium";
const FILE: &str = "/run/vivarium/generation";

/// Both ports tell it, each from its thread.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// 0 before the host has said.
pub fn get() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Also in the agent's own `/run`, whose directory each root of a workload shows.
pub fn set(number: u64) {
    let before = GENERATION.swap(number, Ordering::Relaxed);
    if let Err(error) = own().and_then(|file| write(&file, before, number)) {
        kmsg::note(&format!("{FILE}: {error}"));
    }
}

fn own() -> io::Result<Arc<File>> {
    static OWN: Kept = Kept::new();
    OWN.get(|| boot_id::open_own(Path::new(FILE)))
}

/// In place: what is mounted in a root that runs already shows the new one.
fn write(file: &File, before: u64, number: u64) -> io::Result<()> {
    let text = format!("{number}\n");
    file.write_all_at(text.as_bytes(), 0)?;
    if number < before {
        file.set_len(text.len() as u64)?;
    }
    Ok(())
}

/// To be opened where the agent's root is still in sight. None before a number has been set.
pub fn open() -> io::Result<Option<File>> {
    match File::open(DIRECTORY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// The agent's directory, in the root that the calling process has entered: a number that is written once is seen by all, where
/// a file in the image's own would go through overlay, journal and disk, 5 ms where code is translated cold.
pub fn show(directory: &File) -> io::Result<()> {
    let shown = Path::new(DIRECTORY);
    std::fs::create_dir_all(shown)?;
    sys::bind_read_only(directory, shown)
}

/// In a root that does not show it: something else has been mounted there. `whose` is for the log.
pub fn tell(root: BorrowedFd<'_>, whose: &str) {
    let text = format!("{}\n", get());
    if let Err(error) = etc_files::put(root, "run/vivarium", "generation", &text, Way::InPlace) {
        kmsg::note(&format!("{FILE} of {whose}: {error}"));
    }
}

/// Whether a root, as a process sees it, shows the agent's own file. A link that leads out of the root is followed: nothing but the file's
/// number is looked at.
pub fn is_shown(root: BorrowedFd<'_>) -> io::Result<bool> {
    let of = |directory: RawFd, name: &CStr, flags: libc::c_int| {
        // SAFETY: plain numbers, a live string and room for the answer.
        unsafe {
            let mut about: libc::stat = std::mem::zeroed();
            sys::check(libc::fstatat(directory, name.as_ptr(), &mut about, flags))?;
            io::Result::Ok((about.st_dev, about.st_ino))
        }
    };
    let seen = of(root.as_raw_fd(), c"run/vivarium/generation", 0)?;
    Ok(seen == of(own()?.as_raw_fd(), c"", libc::AT_EMPTY_PATH)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_number_leaves_nothing_of_a_longer_one() {
        let root = std::env::temp_dir().join(format!("viv-agent-gen-{}", std::process::id()));
        let file = root.join("run/generation");
        let mut seen = Vec::new();
        for (before, number) in [(0, 9), (9, 10), (10, 3)] {
            let own = boot_id::open_own(&file).expect("made");
            write(&own, before, number).expect("written");
            seen.push(std::fs::read_to_string(&file).expect("there"));
        }
        std::fs::remove_dir_all(&root).expect("cleaned up");
        assert_eq!(seen, ["9\n", "10\n", "3\n"]);
    }
}
