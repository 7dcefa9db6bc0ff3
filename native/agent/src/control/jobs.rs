//! Requests that may take long run on a thread of their own, so that nobody else waits for a disk.

use super::Agent;
use crate::access::guest_error;
use crate::sys;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;
use viv_protocol::{Value, WireError};

struct Done {
    conversation: u64,
    stream: u32,
    answer: Result<Value, WireError>,
}

pub struct Jobs {
    wake: Arc<OwnedFd>,
    done: Receiver<Done>,
    sender: Sender<Done>,
}

/// Jobs neither recurse nor keep buffers on their stack.
const STACK: usize = 128 * 1024;

impl Jobs {
    pub fn new() -> io::Result<Jobs> {
        let (sender, done) = channel();
        Ok(Jobs {
            wake: Arc::new(sys::event_fd()?),
            done,
            sender,
        })
    }

    pub fn fd(&self) -> i32 {
        self.wake.as_raw_fd()
    }
}

impl Agent {
    /// Answers `stream` once `work` is done.
    pub(super) fn spawn_job(
        &mut self,
        stream: u32,
        work: impl FnOnce() -> Result<Value, WireError> + Send + 'static,
    ) {
        let (wake, sender) = (Arc::clone(&self.jobs.wake), self.jobs.sender.clone());
        let conversation = self.conversation;
        let job = move || {
            // The loop never ends, so there is always somebody to take the answer.
            let _always_taken = sender.send(Done {
                conversation,
                stream,
                answer: work(),
            });
            let _full_is_awake = sys::write(wake.as_raw_fd(), &1u64.to_ne_bytes());
        };
        if let Err(error) = std::thread::Builder::new().stack_size(STACK).spawn(job) {
            self.link
                .respond(stream, &Err(guest_error("a thread", &error)));
        }
    }

    pub(super) fn finish_jobs(&mut self) {
        let _only_to_reset_it = sys::read(self.jobs.fd(), &mut [0; 8]);
        while let Ok(done) = self.jobs.done.try_recv() {
            if done.conversation == self.conversation {
                self.link.respond(done.stream, &done.answer);
            }
        }
    }
}
