//! What was looked at while nothing of the user's could run. It is still so once the machine goes on, as itself or as a copy of itself,
//! and need not be looked for there: that machine translates every path of the kernel that it walks, at some 7 us for each block of code.

use super::{Agent, Timer};
use crate::configure::MERGED_ROOT;
use crate::etc_files::Held;
use crate::network::Seen;
use crate::{generation, hooks, kmsg, sock_diag, ssh_keys};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// To close a file costs as much as to write to it: nobody waits for that.
const CLOSED_AFTER: Duration = Duration::from_secs(1);

/// Copies into this machine that have begun, and those that have ended: they are made while workloads stand still, too.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);

/// While it lives something is being written that no workload writes.
pub struct Writing(());

impl Writing {
    pub fn begin() -> Writing {
        BEGUN.fetch_add(1, Ordering::SeqCst);
        Writing(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        ENDED.fetch_add(1, Ordering::SeqCst);
    }
}

pub(super) struct Stillness {
    /// The files that an identity is written to, open.
    pub files: Held,
    pub card: Option<Seen>,
    /// No TCP socket has a peer outside of this machine, or can get one.
    pub unconnected: bool,
    /// Whether the image has SSH host keys.
    pub host_keys: bool,
    /// Names of hooks, in order.
    pub hooks: Vec<String>,
    /// Whether the root shows the generation that the agent counts.
    pub generation_shown: bool,
    begun: u64,
}

impl Stillness {
    /// `root`: as the root workload sees it, or as the image and its disk make it. None where something is being written.
    /// Where it can't be seen, either, it will be looked for.
    pub fn look(root: BorrowedFd<'_>) -> Option<Stillness> {
        Stillness::try_look(root).unwrap_or_else(|error| {
            kmsg::note(&format!("what stands still was not seen: {error}"));
            None
        })
    }

    fn try_look(root: BorrowedFd<'_>) -> io::Result<Option<Stillness>> {
        let begun = BEGUN.load(Ordering::SeqCst);
        if ENDED.load(Ordering::SeqCst) != begun {
            return Ok(None);
        }
        Ok(Some(Stillness {
            files: Held::open(MERGED_ROOT)?,
            card: Seen::look()?,
            unconnected: sock_diag::unconnected()?,
            host_keys: ssh_keys::any(root)?,
            hooks: hooks::list(root)?,
            generation_shown: generation::is_shown(root).unwrap_or(false),
            begun,
        }))
    }

    fn holds(&self) -> bool {
        self.begun == BEGUN.load(Ordering::SeqCst)
    }
}

/// Whether it leaves alone what was looked at.
fn is_still(method: &str) -> bool {
    matches!(
        method,
        "ping" | "identity" | "clock" | "stats" | "sync" | "fs.grow" | "workload.status"
    )
}

impl Agent {
    /// A request that may change something, or let something run, is under way.
    pub(super) fn no_longer_still(&mut self, method: &str) {
        if !is_still(method) {
            self.disturbances += 1;
            let stillness = self.stillness.take();
            self.retire(stillness);
        }
    }

    /// What was looked at on a thread, which began when so much had been disturbed.
    pub(super) fn keep_still(&mut self, still: Option<Stillness>, since: u64) {
        let before = std::mem::take(&mut self.stillness);
        self.retire(before);
        match since == self.disturbances {
            true => self.stillness = still,
            false => self.retire(still),
        }
    }

    /// For the one identity that is told next.
    pub(super) fn take_stillness(&mut self) -> Option<Stillness> {
        self.stillness.take().filter(Stillness::holds)
    }

    pub(super) fn retire(&mut self, stillness: Option<Stillness>) {
        if let Some(stillness) = stillness {
            self.retired.push(stillness);
            self.set_timer(CLOSED_AFTER, Timer::Retired);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    fn stillness() -> Stillness {
        Stillness {
            files: Held::default(),
            card: None,
            unconnected: true,
            host_keys: false,
            hooks: Vec::new(),
            generation_shown: true,
            begun: BEGUN.load(Ordering::SeqCst),
        }
    }

    #[test]
    fn what_is_copied_in_ends_it() {
        let before = stillness();
        assert!(before.holds());
        let root = File::open("/proc").expect("open");
        let writing = Writing::begin();
        assert!(!before.holds());
        let meanwhile = Stillness::try_look(root.as_fd()).expect("looked");
        assert!(meanwhile.is_none(), "a copy is under way");
        drop(writing);
        assert!(!before.holds(), "what it wrote is there");
        assert!(stillness().holds());
    }

    #[test]
    fn only_what_leaves_the_files_and_processes_alone_keeps_it() {
        for method in ["identity", "fs.grow", "stats"] {
            assert!(is_still(method), "{method}");
        }
        for method in [
            "thaw",
            "freeze",
            "workload.start",
            "exec.start",
            "fs.rename",
            "volume.mount",
        ] {
            assert!(!is_still(method), "{method}");
        }
    }
}
