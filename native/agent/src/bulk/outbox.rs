use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use viv_protocol::{Decoder, SendWindow, Value, WireError, HEADER_LEN};

/// Something to send on a stream.
pub enum Piece {
    Answer(Result<Value, WireError>),
    /// Payload behind room for the header.
    Data(Vec<u8>),
    End,
    Credit(u32),
    Failed(WireError),
    /// Nothing more in either direction.
    Over,
}

/// Frames on their way from a copy's thread to the loop; the thread waits where too many are.
#[derive(Default)]
pub struct Outbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Piece>,
    spares: Vec<Vec<u8>>,
    cancelled: bool,
}

/// Frames that are read ahead of the port. Thread and loop wake each other at half of it, to switch less often on
/// the one vCPU they share.
const AHEAD: usize = 16;

/// The stream is gone; nobody wants the rest.
#[derive(Debug, PartialEq, Eq)]
pub struct Cancelled;

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn cancel(&self) {
        self.lock().cancelled = true;
        self.changed.notify_one();
    }

    /// Waits for room. True when the loop should hear of it: enough has come together, or nothing more will for a while.
    pub fn push(&self, piece: Piece) -> Result<bool, Cancelled> {
        let mut state = self.lock();
        while state.pieces.len() >= AHEAD && !state.cancelled {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.cancelled {
            return Err(Cancelled);
        }
        let more_follows = matches!(piece, Piece::Data(_));
        state.pieces.push_back(piece);
        Ok(!more_follows || state.pieces.len() >= AHEAD / 2)
    }

    /// An empty buffer with room for a whole frame.
    pub fn buffer(&self) -> Vec<u8> {
        let mut buffer = self
            .lock()
            .spares
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(Decoder::BUFFER_LEN));
        buffer.clear();
        buffer.resize(HEADER_LEN, 0);
        buffer
    }

    /// The next piece that credit allows. Used buffers of the loop's go back to the thread.
    pub fn take(&self, window: &mut SendWindow, spares: &mut Vec<Vec<u8>>) -> Option<Piece> {
        let mut state = self.lock();
        if state.spares.len() < AHEAD {
            state.spares.extend(spares.pop());
        }
        let piece = match state.pieces.pop_front()? {
            Piece::Data(mut buffer) => {
                let bytes = buffer.len() - HEADER_LEN;
                let allowed = window.take(bytes);
                if allowed < bytes {
                    let mut rest = vec![0; HEADER_LEN];
                    rest.extend_from_slice(&buffer[HEADER_LEN + allowed..]);
                    state.pieces.push_front(Piece::Data(rest));
                    if allowed == 0 {
                        return None;
                    }
                    buffer.truncate(HEADER_LEN + allowed);
                }
                Piece::Data(buffer)
            }
            other => other,
        };
        if state.pieces.len() <= AHEAD / 2 {
            self.changed.notify_one();
        }
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use viv_protocol::WINDOW;

    fn data(bytes: usize) -> Piece {
        Piece::Data(vec![0; HEADER_LEN + bytes])
    }

    #[test]
    fn a_piece_beyond_the_window_is_cut_and_the_rest_waits() {
        let outbox = Outbox::default();
        let mut window = SendWindow::default();
        window.take(WINDOW as usize - 10);
        outbox.push(data(25)).expect("room");
        let lengths = |piece: Option<Piece>| match piece {
            Some(Piece::Data(buffer)) => Some(buffer.len() - HEADER_LEN),
            _ => None,
        };
        assert_eq!(lengths(outbox.take(&mut window, &mut Vec::new())), Some(10));
        assert_eq!(lengths(outbox.take(&mut window, &mut Vec::new())), None);
        window.grant(100);
        assert_eq!(lengths(outbox.take(&mut window, &mut Vec::new())), Some(15));
    }

    #[test]
    fn nobody_waits_for_a_stream_that_is_gone() {
        let outbox = Outbox::default();
        outbox.cancel();
        assert_eq!(outbox.push(data(1)), Err(Cancelled));
    }
}
