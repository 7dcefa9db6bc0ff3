//! Requests that may take long run on a thread of their own, so that nobody else waits for a disk.

use super::freezing::Freezing;
use super::Agent;
use crate::access::guest_error;
use crate::sys;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;
use viv_protocol::{Value, WireError};

/// What a job came to, and so what is to be done next.
pub(super) enum Outcome {
    /// For whoever asked.
    Answer(Result<Value, WireError>),
    /// The card of an identity is up, or isn't.
    Connected(Result<(), WireError>),
    Frozen(Freezing, Result<(), WireError>),
    /// What is to be warm has been read.
    Read,
}

struct Done {
    conversation: u64,
    stream: u32,
    outcome: Outcome,
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

    pub(super) fn spawn(
        &self,
        conversation: u64,
        stream: u32,
        work: impl FnOnce() -> Outcome + Send + 'static,
    ) -> io::Result<()> {
        let (wake, sender) = (Arc::clone(&self.wake), self.sender.clone());
        let job = move || {
            // The loop never ends, so there is always somebody to take the outcome.
            let _always_taken = sender.send(Done {
                conversation,
                stream,
                outcome: work(),
            });
            let _full_is_awake = sys::write(wake.as_raw_fd(), &1u64.to_ne_bytes());
        };
        std::thread::Builder::new()
            .stack_size(STACK)
            .spawn(job)
            .map(drop)
    }
}

impl Agent {
    /// Answers `stream` once `work` is done.
    pub(super) fn spawn_job(
        &mut self,
        stream: u32,
        work: impl FnOnce() -> Result<Value, WireError> + Send + 'static,
    ) {
        let spawned = self
            .jobs
            .spawn(self.conversation, stream, move || Outcome::Answer(work()));
        if let Err(error) = spawned {
            self.link
                .respond(stream, &Err(guest_error("a thread", &error)));
        }
    }

    pub(super) fn finish_jobs(&mut self) {
        let _only_to_reset_it = sys::read(self.jobs.fd(), &mut [0; 8]);
        while let Ok(done) = self.jobs.done.try_recv() {
            match done.outcome {
                Outcome::Answer(answer) => self.answer(done.conversation, done.stream, &answer),
                Outcome::Connected(result) => self.connected(result),
                Outcome::Read => self.begin_warming(done.conversation, done.stream),
                Outcome::Frozen(freezing, result) => {
                    self.frozen(done.conversation, done.stream, freezing, result)
                }
            }
        }
    }

    /// An answer that comes late: the host that asked may have gone.
    pub(super) fn answer(
        &mut self,
        conversation: u64,
        stream: u32,
        answer: &Result<Value, WireError>,
    ) {
        if conversation == self.conversation {
            self.link.respond(stream, answer);
        }
    }
}
