use crate::link::Speaker;
use crate::out_queue::Flushed;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use viv_protocol::{Kind, SendWindow, Value, WireError, HEADER_LEN};

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

/// Where a copy's thread sends, without the loop: handing each frame to it cost two switches of thread a few frames.
/// The thread waits where there is no credit or where too much waits for the port.
pub struct Outbox {
    speaker: Speaker,
    stream: u32,
    window: Mutex<SendWindow>,
    credit: Condvar,
    cancelled: AtomicBool,
    /// Called where the port took less than it was given: its loop is to see to the rest.
    full: Box<dyn Fn() + Send + Sync>,
}

/// Bytes that wait for the port before a copy waits too.
const AHEAD: usize = 512 * 1024;

/// Frames are written so many bytes at a time: the host is woken for the first and takes the others while it is awake.
const BURST: usize = 256 * 1024;

/// The stream is gone; nobody wants the rest.
#[derive(Debug, PartialEq, Eq)]
pub struct Cancelled;

impl Outbox {
    pub fn new(speaker: Speaker, stream: u32, full: impl Fn() + Send + Sync + 'static) -> Outbox {
        Outbox {
            speaker,
            stream,
            window: Mutex::default(),
            credit: Condvar::new(),
            cancelled: AtomicBool::new(false),
            full: Box::new(full),
        }
    }

    fn lock(&self) -> MutexGuard<'_, SendWindow> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        drop(self.lock());
        self.credit.notify_one();
        self.speaker.out.wake();
    }

    pub fn grant(&self, bytes: u32) {
        self.lock().grant(bytes);
        self.credit.notify_one();
    }

    /// Bytes that may be sent now.
    pub fn credit(&self) -> u64 {
        self.lock().available()
    }

    /// An empty buffer with room for a whole frame.
    pub fn buffer(&self) -> Vec<u8> {
        let mut buffer = self.speaker.out.buffer();
        buffer.clear();
        buffer.resize(HEADER_LEN, 0);
        buffer
    }

    /// Sends it, however long that takes; data once enough has come together.
    pub fn send(&self, piece: Piece) -> Result<(), Cancelled> {
        match piece {
            Piece::Data(buffer) => {
                self.data(buffer)?;
                if self.speaker.out.len() < BURST {
                    return Ok(());
                }
            }
            Piece::Answer(answer) => self.speaker.respond(self.stream, &answer),
            Piece::End => self.speaker.send(Kind::Eof, 0, self.stream, &[]),
            Piece::Failed(error) => self.speaker.reset(self.stream, &error),
            Piece::Credit(_) | Piece::Over => {}
        }
        self.flush();
        Ok(())
    }

    fn flush(&self) {
        if self.speaker.out.flush() == Flushed::Waiting {
            (self.full)();
        }
    }

    fn data(&self, mut buffer: Vec<u8>) -> Result<(), Cancelled> {
        loop {
            let bytes = buffer.len() - HEADER_LEN;
            let allowed = self.take(bytes)?;
            self.speaker.out.wait_for_room(AHEAD, &self.cancelled);
            self.check()?;
            let mut rest = Vec::new();
            if allowed < bytes {
                rest.resize(HEADER_LEN, 0);
                rest.extend_from_slice(&buffer[HEADER_LEN + allowed..]);
                buffer.truncate(HEADER_LEN + allowed);
            }
            self.speaker.send_buffer(Kind::Data, 0, self.stream, buffer);
            if rest.is_empty() {
                return Ok(());
            }
            buffer = rest;
        }
    }

    /// Waits for credit and takes up to so much of it.
    fn take(&self, bytes: usize) -> Result<usize, Cancelled> {
        let mut window = self.lock();
        loop {
            self.check()?;
            let allowed = window.take(bytes);
            if allowed > 0 {
                return Ok(allowed);
            }
            self.flush();
            window = self
                .credit
                .wait(window)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn check(&self) -> Result<(), Cancelled> {
        match self.cancelled.load(Ordering::SeqCst) {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::sync::Arc;
    use viv_protocol::{Decoder, WINDOW};

    /// An outbox before a pipe that takes 64 KiB, and the pipe's other end.
    fn outbox() -> (Arc<Outbox>, OwnedFd) {
        let (reader, writer) = sys::pipe().expect("a pipe");
        sys::set_nonblocking(writer.as_raw_fd()).expect("flags");
        sys::set_nonblocking(reader.as_raw_fd()).expect("flags");
        (
            Arc::new(Outbox::new(Speaker::over(writer), 7, || ())),
            reader,
        )
    }

    fn data(bytes: usize) -> Piece {
        Piece::Data(vec![0; HEADER_LEN + bytes])
    }

    /// Payload lengths of the frames that have come.
    fn lengths(reader: &OwnedFd) -> Vec<usize> {
        let (mut decoder, mut seen) = (Decoder::new(), Vec::new());
        let mut scratch = [0; 4096];
        while let Ok(count) = sys::read(reader.as_raw_fd(), &mut scratch) {
            decoder.push(&scratch[..count], |frame| seen.push(frame.payload.len()));
        }
        seen
    }

    #[test]
    fn a_piece_beyond_the_window_is_cut_and_the_rest_waits() {
        let (outbox, reader) = outbox();
        outbox.take(WINDOW as usize - 10).expect("all at once");
        let theirs = Arc::clone(&outbox);
        let sending = std::thread::spawn(move || theirs.send(data(25)));
        let mut seen = Vec::new();
        while seen.is_empty() {
            seen = lengths(&reader);
            std::thread::yield_now();
        }
        assert_eq!(seen, [10]);
        assert!(!sending.is_finished());
        outbox.grant(100);
        assert_eq!(sending.join().expect("no panic"), Ok(()));
        outbox.send(Piece::End).expect("not cancelled");
        assert_eq!((lengths(&reader), outbox.credit()), (vec![15, 0], 85));
    }

    #[test]
    fn data_comes_in_bursts_and_the_end_brings_what_is_left() {
        let (outbox, reader) = outbox();
        outbox.send(data(100)).expect("not cancelled");
        assert_eq!(lengths(&reader), []);
        outbox.send(Piece::End).expect("not cancelled");
        assert_eq!(lengths(&reader), [100, 0]);
    }

    #[test]
    fn a_full_port_stops_a_copy_until_its_loop_flushes() {
        let (outbox, reader) = outbox();
        while outbox.speaker.out.len() < AHEAD {
            outbox.grant(32_768);
            outbox.send(data(32_768)).expect("not cancelled");
        }
        let theirs = Arc::clone(&outbox);
        let sending = std::thread::spawn(move || theirs.send(data(1)));
        while outbox.speaker.out.waiting() == 0 {
            std::thread::yield_now();
        }
        let mut came = 0;
        while !sending.is_finished() || !outbox.speaker.out.is_empty() {
            let mut scratch = [0; 4096];
            came += sys::read(reader.as_raw_fd(), &mut scratch).unwrap_or(0);
            outbox.speaker.out.flush();
        }
        assert_eq!(sending.join().expect("no panic"), Ok(()));
        assert!(came > AHEAD - 65_536, "{came}");
    }

    #[test]
    fn nobody_waits_for_a_stream_that_is_gone() {
        let (full, _reader) = outbox();
        while full.speaker.out.len() < AHEAD {
            full.grant(32_768);
            full.send(data(32_768)).expect("not cancelled");
        }
        let (spent, _other) = outbox();
        spent.take(WINDOW as usize).expect("all at once");
        for waits in [full, spent] {
            let theirs = Arc::clone(&waits);
            let sending = std::thread::spawn(move || theirs.send(data(1)));
            std::thread::yield_now();
            waits.cancel();
            assert_eq!(sending.join().expect("no panic"), Err(Cancelled));
        }
    }
}
