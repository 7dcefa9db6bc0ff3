//! `fs.watch`: what changes at a path, as the kernel's inotify tells it. A thread waits for that and hands over one piece after
//! another, each only once the one before has left: what nobody takes stays in the kernel's queue, which is bounded.

mod changes;
mod tree;

use crate::access::{guest_error, path_error};
use crate::{sys, threads};
use changes::Changes;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tree::Tree;
use viv_protocol::{Code, Value, WireError};

/// What the thread of a watch has to say.
pub enum Told {
    /// From now on nothing is missed.
    Began,
    Refused(WireError),
    Changes(Value),
    /// Nothing more comes.
    Over(WireError),
}

/// What happens within so long is told in one piece, a write of many pieces once.
const GATHER: Duration = Duration::from_millis(20);
/// It needs a buffer of its own and one of the walk's.
const STACK: usize = 192 * 1024;

/// A watch under way; it ends when this is dropped.
pub struct Watch {
    stop: Arc<OwnedFd>,
    ready: Arc<OwnedFd>,
    /// A piece has been handed over and not yet asked for the next.
    owed: bool,
}

impl Watch {
    pub fn start(
        root: Arc<OwnedFd>,
        path: String,
        recursive: bool,
        tell: impl Fn(Told) + Send + 'static,
    ) -> io::Result<Watch> {
        let (stop, ready) = (Arc::new(sys::event_fd()?), Arc::new(sys::event_fd()?));
        let signals = Signals {
            stop: Arc::clone(&stop),
            ready: Arc::clone(&ready),
        };
        threads::start(STACK, move || {
            if let Err(told) = run(&root, &path, recursive, &tell, &signals) {
                tell(told);
            }
        })?;
        Ok(Watch {
            stop,
            ready,
            owed: false,
        })
    }

    pub fn took(&mut self) {
        self.owed = true;
    }

    /// There is room for the next piece.
    pub fn go_on(&mut self) {
        if std::mem::take(&mut self.owed) {
            ring(&self.ready);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        ring(&self.stop);
    }
}

fn ring(event: &OwnedFd) {
    let _full_is_rung = sys::write(event.as_raw_fd(), &1u64.to_ne_bytes());
}

struct Signals {
    stop: Arc<OwnedFd>,
    ready: Arc<OwnedFd>,
}

impl Signals {
    /// Waits for a descriptor; false where the watch is over instead.
    fn wait(&self, fd: i32, timeout: i32) -> bool {
        let asked = |fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        let mut both = [asked(self.stop.as_raw_fd()), asked(fd)];
        // SAFETY: two structs, and their number.
        let _interrupted_is_looked_at_again = unsafe { libc::poll(both.as_mut_ptr(), 2, timeout) };
        both[0].revents == 0
    }

    fn wait_ready(&self) -> bool {
        while self.wait(self.ready.as_raw_fd(), -1) {
            if sys::read(self.ready.as_raw_fd(), &mut [0; 8]).is_ok() {
                return true;
            }
        }
        false
    }

    /// Lets what belongs together come together.
    fn gather(&self) -> bool {
        // The third descriptor is none: only the end of the watch ends this early.
        self.wait(-1, GATHER.as_millis() as i32)
    }
}

fn run(
    root: &OwnedFd,
    path: &str,
    recursive: bool,
    tell: &impl Fn(Told),
    signals: &Signals,
) -> Result<(), Told> {
    let refused = |error: io::Error| match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EMFILE) => WireError::new(
            Code::GuestError,
            format!("{path}: the guest's kernel has no more watches for so many directories"),
        ),
        Some(libc::E2BIG) => WireError::new(
            Code::InvalidRequest,
            format!("{path}: more than {} directories", tree::MOST_DIRECTORIES),
        ),
        _ => path_error(path, &error),
    };
    let mut tree =
        Tree::open(root, path, recursive).map_err(|error| Told::Refused(refused(error)))?;
    tell(Told::Began);
    while signals.wait(tree.fd(), -1) && signals.gather() {
        let mut changes = Changes::default();
        let there = match tree.read(&mut changes) {
            Ok(there) => there,
            Err(error) => return Err(Told::Over(guest_error(path, &error))),
        };
        for piece in changes.into_pieces() {
            tell(Told::Changes(piece));
            if !signals.wait_ready() {
                return Ok(());
            }
        }
        if !there {
            let message = format!("{path} is not there any more");
            return Err(Told::Over(WireError::new(Code::PathNotFound, message)));
        }
    }
    Ok(())
}
