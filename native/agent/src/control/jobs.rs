//! Requests that may take long run on a thread of their own, so that nobody else waits for a disk.

use super::freezing::Freezing;
use super::methods::nothing;
use super::stillness::Stillness;
use super::Agent;
use crate::access::guest_error;
use crate::fs::watch::Told;
use crate::{sys, threads};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use viv_protocol::{Value, WireError};

/// What a job came to, and so what is to be done next.
pub(super) enum Outcome {
    /// For whoever asked.
    Answer(Result<Value, WireError>),
    /// The card of an identity is up, or isn't.
    Connected(Result<(), WireError>),
    Frozen(Freezing, Result<(), WireError>, Option<Stillness>),
    /// The machine is warm; how much had been disturbed when that was begun.
    Warmed(Option<Stillness>, u64),
    /// What is to be warm has been read.
    Read,
    Watched(Told),
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
    workers: Arc<Workers>,
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads, as many as there are jobs under way, of which the last one stays: to make a thread costs a restored guest 20 ms
/// where code is translated cold, to wake one next to nothing.
#[derive(Default)]
struct Workers {
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    idle: usize,
}

impl Workers {
    /// No job panics while it holds the queue.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(self: &Arc<Workers>, job: Job) -> io::Result<()> {
        let mut queue = self.lock();
        queue.jobs.push_back(job);
        if queue.idle >= queue.jobs.len() {
            self.more.notify_one();
            return Ok(());
        }
        drop(queue);
        let workers = Arc::clone(self);
        let spawned = threads::start(STACK, move || workers.work());
        spawned.map(drop).or_else(|error| {
            // Nobody else adds jobs: the last one is this, unless a thread has come to take it.
            self.lock().jobs.pop_back().map_or(Ok(()), |_| Err(error))
        })
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                job();
                queue = self.lock();
                continue;
            }
            if queue.idle > 0 {
                return;
            }
            queue.idle += 1;
            queue = self
                .more
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
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
            workers: Arc::default(),
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
        let tell = self.teller(conversation, stream);
        self.workers.give(Box::new(move || tell(work())))
    }

    /// What another thread says through this is heard by the loop.
    pub(super) fn teller(
        &self,
        conversation: u64,
        stream: u32,
    ) -> impl Fn(Outcome) + Send + 'static {
        let (wake, sender) = (Arc::clone(&self.wake), self.sender.clone());
        move |outcome| {
            // The loop never ends, so there is always somebody to take the outcome.
            let _always_taken = sender.send(Done {
                conversation,
                stream,
                outcome,
            });
            let _full_is_awake = sys::write(wake.as_raw_fd(), &1u64.to_ne_bytes());
        }
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
                Outcome::Watched(told) => self.watched(done.conversation, done.stream, told),
                Outcome::Read => self.begin_warming(done.conversation, done.stream),
                Outcome::Frozen(freezing, result, still) => {
                    let frozen = (freezing, result);
                    self.frozen(done.conversation, done.stream, frozen, still)
                }
                Outcome::Warmed(still, since) => {
                    self.keep_still(still, since);
                    self.answer(done.conversation, done.stream, &nothing());
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn jobs_run_beside_each_other_and_one_thread_stays_for_the_next() {
        let workers: Arc<Workers> = Arc::default();
        let (sender, told) = channel();
        let both = Arc::new(Barrier::new(2));
        let give = |job: Job| workers.give(job).expect("a thread");
        for _ in 0..2 {
            let (sender, both) = (sender.clone(), Arc::clone(&both));
            give(Box::new(move || {
                both.wait();
                sender.send(std::thread::current().id()).expect("heard");
            }));
        }
        let first = [(); 2].map(|()| told.recv().expect("neither waits for the other's end"));
        // One of the two is idle soon, and the other has gone.
        while workers.lock().idle == 0 {
            std::thread::yield_now();
        }
        give(Box::new(move || {
            sender.send(std::thread::current().id()).expect("heard");
        }));
        assert!(first.contains(&told.recv().expect("done")));
    }
}
