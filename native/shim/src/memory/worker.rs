//! A thread for one task at a time, so that everything else the shim does goes on.

use super::seen::Seen;
use super::{Task, Watch};
use crate::failure::Failure;
use serde_json::Value;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// Buffers are not on it.
pub const STACK: usize = 128 * 1024;

type Outcome = Result<Value, Failure>;

struct Job {
    client: u64,
    request: u64,
    thread: JoinHandle<Outcome>,
    /// Its other end is closed when the thread is done.
    done: UnixStream,
    watch: Watch,
}

#[derive(Default)]
pub struct Memory {
    job: Option<Job>,
    /// Locked by the thread while there is one.
    seen: Arc<Mutex<Seen>>,
}

/// An answer, and to whom.
pub struct Answer {
    pub client: u64,
    pub request: u64,
    pub outcome: Outcome,
}

impl Memory {
    pub fn begin(
        &mut self,
        client: u64,
        request: u64,
        pid: i32,
        task: Task,
    ) -> Result<(), Failure> {
        if self.job.is_some() {
            return Err(Failure::new(
                "busy",
                "another memory request is being served",
            ));
        }
        keep_no_buffers();
        let failed = |error| Failure::io("a thread for memory", &error);
        let (done, working) = UnixStream::pair().map_err(failed)?;
        let watch = Watch::default();
        let watched = watch.clone();
        let seen = Arc::clone(&self.seen);
        let thread = Builder::new().stack_size(STACK).spawn(move || {
            let _working = working;
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            task.run(pid, &mut seen, &watched)
        });
        self.job = Some(Job {
            client,
            request,
            thread: thread.map_err(failed)?,
            done,
            watch,
        });
        Ok(())
    }

    /// Readable once there is an answer.
    pub fn interest(&self) -> Option<RawFd> {
        self.job.as_ref().map(|job| job.done.as_raw_fd())
    }

    /// Waits for the thread, which has said that it is done or is told that the VMM has ended.
    pub fn take(&mut self, vmm_ended: bool) -> Option<Answer> {
        let job = self.job.take()?;
        if vmm_ended {
            job.watch.end();
        }
        let outcome = job.thread.join();
        let panicked = |_| Err(Failure::new("internal", "the thread for memory panicked"));
        Some(Answer {
            client: job.client,
            request: job.request,
            outcome: outcome.unwrap_or_else(panicked),
        })
    }
}

/// Buffers are mapped each for itself and so are given back. Left alone, the allocator would come to keep them, and that
/// is more than the shim otherwise has.
fn keep_no_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number of the allocator's.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 64 * 1024);
    }
}
