use crate::ring::{Ring, HELD};
use crate::sys;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use viv_protocol::{SendWindow, Value, HEADER_LEN};

/// One output of a process: what is held of it, and how far its reader has come.
pub struct Output {
    fd: Option<OwnedFd>,
    ring: Ring,
    /// Gives up its oldest bytes rather than making the process wait.
    lossy: bool,
    /// Offsets: sent to the attached stream, and known to be consumed by it.
    sent: u64,
    consumed: u64,
    window: SendWindow,
    eof_told: bool,
    /// The process is dead: what is in the pipe now is all that is waited for.
    last_call: bool,
    /// Whether epoll watches the descriptor.
    pub watched: bool,
}

/// What reading an output came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Polled {
    /// So many bytes are in the scratch buffer.
    Read(usize),
    Nothing,
    Ended,
}

impl Output {
    pub fn new(fd: OwnedFd, lossy: bool) -> Output {
        Output {
            fd: Some(fd),
            lossy,
            ..Output::ended_from_start()
        }
    }

    /// An output that a session does not have, such as stderr beside a terminal.
    pub fn ended_from_start() -> Output {
        Output {
            fd: None,
            ring: Ring::default(),
            lossy: false,
            sent: 0,
            consumed: 0,
            window: SendWindow::default(),
            eof_told: false,
            last_call: false,
            watched: false,
        }
    }

    pub fn fd(&self) -> Option<i32> {
        self.fd.as_ref().map(AsRawFd::as_raw_fd)
    }

    pub fn ended(&self) -> bool {
        self.fd.is_none()
    }

    pub fn eof_told(&self) -> bool {
        self.eof_told
    }

    pub fn start(&self) -> u64 {
        self.ring.start()
    }

    pub fn end(&self) -> u64 {
        self.ring.end()
    }

    /// Up to so many bytes from an offset, without a reader's coming any further by it.
    pub fn peek(&self, from: u64, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.ring.copy_to(from, most, &mut bytes);
        bytes
    }

    /// The last line with something in it, of the last KiB.
    pub fn last_line(&self) -> String {
        let mut tail = Vec::new();
        let from = self.ring.end().saturating_sub(1024).max(self.ring.start());
        self.ring.copy_to(from, 1024, &mut tail);
        let text = String::from_utf8_lossy(&tail);
        let line = text.lines().rev().find(|line| !line.trim().is_empty());
        line.unwrap_or("").trim().to_owned()
    }

    /// The offsets between which it is held.
    pub fn held(&self) -> Value {
        Value::map(vec![
            ("from", self.start().into()),
            ("to", self.end().into()),
        ])
    }

    pub fn sent(&self) -> u64 {
        self.sent
    }

    pub fn holds(&self, offset: u64) -> bool {
        (self.ring.start()..=self.ring.end()).contains(&offset)
    }

    /// Everything that was printed has been consumed.
    pub fn settled(&self) -> bool {
        self.ended() && self.eof_told && self.sent == self.ring.end()
    }

    /// Bytes that may be read now without giving up any that nobody has consumed.
    pub fn room(&self) -> usize {
        if self.lossy {
            return HELD;
        }
        let unconsumed =
            usize::try_from(self.ring.end().saturating_sub(self.consumed)).unwrap_or(HELD);
        HELD.saturating_sub(unconsumed)
    }

    /// Reads once into `scratch` and keeps what came.
    pub fn read(&mut self, scratch: &mut [u8]) -> Polled {
        let Some(fd) = self.fd() else {
            return Polled::Nothing;
        };
        let most = scratch.len().min(self.room());
        if most == 0 {
            return Polled::Nothing;
        }
        match sys::read(fd, &mut scratch[..most]) {
            Ok(0) => Polled::Ended,
            Ok(count) => {
                self.ring.push(&scratch[..count]);
                Polled::Read(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.last_call {
                    Polled::Ended
                } else {
                    Polled::Nothing
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Polled::Nothing,
            // A terminal whose last user has left says EIO.
            Err(_) => Polled::Ended,
        }
    }

    /// From now on the output ends where reading would have to wait.
    pub fn call_last(&mut self) {
        self.last_call = true;
    }

    /// Gives the descriptor back: somebody may still be writing to it.
    pub fn close(&mut self) -> Option<OwnedFd> {
        self.ring.shrink();
        self.fd.take()
    }

    pub fn attach(&mut self, from: Option<u64>) {
        self.sent = from.unwrap_or(self.ring.start());
        self.consumed = self.sent;
        self.window = SendWindow::default();
        self.eof_told = false;
    }

    pub fn grant(&mut self, bytes: u32) {
        self.window.grant(bytes);
        self.consumed = self
            .consumed
            .saturating_add(u64::from(bytes))
            .min(self.sent);
    }

    /// Bytes that were given up before the reader got to them; it goes on behind them.
    pub fn skip_gap(&mut self) -> Option<u64> {
        let gap = self
            .ring
            .start()
            .checked_sub(self.sent)
            .filter(|gap| *gap > 0)?;
        self.sent = self.ring.start();
        self.consumed = self.consumed.max(self.sent);
        Some(gap)
    }

    /// The next bytes, behind room for a frame's header.
    pub fn next_data(&mut self, most: usize) -> Option<Vec<u8>> {
        let waiting = usize::try_from(self.ring.end().saturating_sub(self.sent))
            .unwrap_or(most)
            .min(most);
        let count = self.window.take(waiting);
        if count == 0 {
            return None;
        }
        let mut buffer = Vec::with_capacity(HEADER_LEN + count);
        buffer.resize(HEADER_LEN, 0);
        self.ring.copy_to(self.sent, count, &mut buffer);
        self.sent += count as u64;
        Some(buffer)
    }

    /// True once, when the end is due.
    pub fn take_eof(&mut self) -> bool {
        let due = self.ended() && !self.eof_told && self.sent == self.ring.end();
        self.eof_told |= due;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use viv_protocol::WINDOW;

    fn output(lossy: bool) -> (Output, OwnedFd) {
        let (reader, writer) = sys::pipe().expect("pipe");
        sys::set_nonblocking(reader.as_raw_fd()).expect("flags");
        (Output::new(reader, lossy), writer)
    }

    fn fill(output: &mut Output, writer: &OwnedFd, bytes: usize) -> usize {
        let (mut scratch, mut taken) = (vec![0; 65_536], 0);
        while taken < bytes {
            sys::write(writer.as_raw_fd(), &[b'x'; 4096]).expect("write");
            match output.read(&mut scratch) {
                Polled::Read(count) => taken += count,
                _ => break,
            }
        }
        taken
    }

    #[test]
    fn a_process_waits_once_a_mebibyte_is_unread() {
        let (mut output, writer) = output(false);
        assert_eq!(fill(&mut output, &writer, 2 << 20), HELD);
        assert_eq!((output.start(), output.room()), (0, 0));
        output.attach(None);
        while output.next_data(32_768).is_some() {}
        assert_eq!(output.sent(), WINDOW);
        output.grant(100_000);
        assert_eq!(output.room(), 100_000);
    }

    #[test]
    fn a_lossy_output_never_makes_its_process_wait() {
        let (mut output, writer) = output(true);
        output.attach(None);
        assert_eq!(fill(&mut output, &writer, 2 << 20), 2 << 20);
        assert_eq!(output.start(), HELD as u64);
        assert_eq!(output.skip_gap(), Some(HELD as u64));
        assert_eq!(output.skip_gap(), None);
        assert_eq!(output.sent(), HELD as u64);
    }

    #[test]
    fn a_grant_counts_only_what_was_sent() {
        let (mut output, writer) = output(false);
        fill(&mut output, &writer, 4096);
        output.attach(None);
        output.grant(u32::MAX);
        assert_eq!(output.room(), HELD - 4096);
    }

    #[test]
    fn after_the_last_call_the_end_is_where_nothing_waits() {
        let (mut output, _writer) = output(false);
        let mut scratch = [0; 10];
        assert_eq!(output.read(&mut scratch), Polled::Nothing);
        output.call_last();
        assert_eq!(output.read(&mut scratch), Polled::Ended);
    }
}
