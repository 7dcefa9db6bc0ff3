//! What other threads tell the loop of the bulk port.

use crate::sys;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::Arc;
use viv_protocol::{Value, WireError};

/// What a copy's thread tells the loop.
pub enum Report {
    /// So many bytes of a copy into the guest have been consumed.
    Consumed(u64),
    /// A copy into the guest has ended.
    Ended(Result<Value, WireError>),
    /// Nobody will ask for anything any more, or take what was asked for.
    HostLeft,
    /// The port took less than it was given.
    Full,
    /// A copy out of the guest has said its last.
    Sent,
}

/// The way from a copy's thread to the loop.
#[derive(Clone)]
pub struct Teller {
    pub(super) wake: Arc<OwnedFd>,
    pub(super) sender: Sender<(u64, u32, Report)>,
    pub(super) conversation: u64,
    pub(super) stream: u32,
}

impl Teller {
    pub fn tell(&self, report: Report) {
        // The loop never ends, so there is always somebody to hear it; a full counter is awake already.
        let _always_heard = self.sender.send((self.conversation, self.stream, report));
        let _awake = sys::write(self.wake.as_raw_fd(), &1u64.to_ne_bytes());
    }
}

/// Says that the host of the present conversation has gone. The port itself may not show it: where the machine was saved
/// and restored meanwhile, its host end was never seen to close.
pub struct HostLeft {
    pub(super) conversation: Arc<AtomicU64>,
    pub(super) wake: Arc<OwnedFd>,
    pub(super) sender: Sender<(u64, u32, Report)>,
}

impl HostLeft {
    /// Ends the streams of the conversation of this moment; one that begins meanwhile is not meant.
    pub fn tell(&self) {
        let teller = Teller {
            wake: Arc::clone(&self.wake),
            sender: self.sender.clone(),
            conversation: self.conversation.load(Ordering::Relaxed),
            stream: 0,
        };
        teller.tell(Report::HostLeft);
    }
}
