//! How often this machine has been made anew, as the host counts it. Told to whoever wants to know inside, and to every
//! host that comes: a number that has changed says that the machine was restored or copied.

use crate::etc_files::Way;
use crate::{etc_files, kmsg};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Both ports tell it, each from its thread.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// 0 before the host has said.
pub fn get() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Also in the agent's own `/run`.
pub fn set(number: u64, way: Way) {
    GENERATION.store(number, Ordering::Relaxed);
    tell_in("", way);
}

/// `/run/vivarium/generation` below the directory `root`.
pub fn tell_in(root: &str, way: Way) {
    let root = if root.is_empty() { "/" } else { root };
    match File::open(root) {
        Ok(directory) => tell(directory.as_fd(), root, way),
        Err(error) => kmsg::note(&format!("{root}: {error}")),
    }
}

/// As [`tell_in`], in a root as a process sees it, with all that is mounted there. `whose` is for the log.
pub fn tell(root: BorrowedFd<'_>, whose: &str, way: Way) {
    let text = format!("{}\n", get());
    if let Err(error) = etc_files::put(root, "run/vivarium", "generation", &text, way) {
        kmsg::note(&format!("/run/vivarium/generation of {whose}: {error}"));
    }
}

/// For an init system, in the empty `/run` it is given, before its first instruction.
pub fn tell_here() -> io::Result<()> {
    fs::create_dir_all("/run/vivarium")?;
    fs::write("/run/vivarium/generation", format!("{}\n", get()))
}
