//! The writing half of a port, shared by the threads that write to it.

use crate::out_queue::{Flushed, OutQueue};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use viv_protocol::Decoder;

/// Used buffers that are kept for the next frames.
const SPARES: usize = 8;

/// A queue and the port behind it. Whoever pushes also flushes; what the port does not take at once is flushed by the
/// port's loop, at the next edge.
#[derive(Clone)]
pub struct OutPort {
    shared: Arc<Shared>,
}

struct Shared {
    port: Arc<OwnedFd>,
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Default)]
struct State {
    queue: OutQueue,
    spares: Vec<Vec<u8>>,
    /// Threads that wait for room.
    waiting: usize,
}

impl OutPort {
    pub fn new(port: Arc<OwnedFd>) -> OutPort {
        OutPort {
            shared: Arc::new(Shared {
                port,
                state: Mutex::default(),
                room: Condvar::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes not yet written.
    pub fn len(&self) -> usize {
        self.lock().queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lock().queue.is_empty()
    }

    pub fn push(&self, piece: Vec<u8>) {
        self.lock().queue.push(piece);
    }

    /// Drops everything that has not been begun.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.queue.clear();
        self.tell_of_room(&state);
    }

    pub fn flush(&self) -> Flushed {
        let mut guard = self.lock();
        let State { queue, spares, .. } = &mut *guard;
        let flushed = queue.flush_into(self.shared.port.as_raw_fd(), |piece| {
            if spares.len() < SPARES && piece.capacity() >= Decoder::BUFFER_LEN {
                spares.push(piece);
            }
        });
        self.tell_of_room(&guard);
        flushed
    }

    /// A buffer with room for a whole frame and anything in it.
    pub fn buffer(&self) -> Vec<u8> {
        let spare = self.lock().spares.pop();
        spare.unwrap_or_else(|| Vec::with_capacity(Decoder::BUFFER_LEN))
    }

    /// Waits until fewer than so many bytes wait for the port, or whoever asks is `gone`.
    pub fn wait_for_room(&self, most: usize, gone: &AtomicBool) {
        let mut state = self.lock();
        while state.queue.len() >= most && !gone.load(Ordering::SeqCst) {
            state.waiting += 1;
            state = self
                .shared
                .room
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    /// Lets those who wait look again.
    pub fn wake(&self) {
        let _seen_by_all_who_wait = self.lock();
        self.shared.room.notify_all();
    }

    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.lock().waiting
    }

    fn tell_of_room(&self, state: &State) {
        if state.waiting > 0 {
            self.shared.room.notify_all();
        }
    }
}
