use crate::sys;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use viv_protocol::{Code, ReceiveWindow, WireError};

/// Bytes that may wait for a process that does not read, over all streams that ever fed it.
const MOST: usize = 4 << 20;
/// What a terminal takes for the end of its input.
const END_OF_TRANSMISSION: u8 = 4;

/// The standard input of a process.
pub struct Input {
    fd: Option<OwnedFd>,
    terminal: bool,
    queue: VecDeque<u8>,
    ended: bool,
    /// Bytes taken from hosts so far.
    received: u64,
    /// Bytes in the queue that the stream before has sent; they earn the present one no credit.
    foreign: usize,
    window: ReceiveWindow,
    /// Whether epoll watches the descriptor.
    pub watched: bool,
}

impl Input {
    pub fn new(fd: OwnedFd, terminal: bool) -> Input {
        Input {
            fd: Some(fd),
            terminal,
            ..Input::none()
        }
    }

    /// The process reads end of file at once; what comes is thrown away.
    pub fn none() -> Input {
        Input {
            fd: None,
            terminal: false,
            queue: VecDeque::new(),
            ended: false,
            received: 0,
            foreign: 0,
            window: ReceiveWindow::default(),
            watched: false,
        }
    }

    pub fn fd(&self) -> Option<i32> {
        self.fd.as_ref().map(AsRawFd::as_raw_fd)
    }

    pub fn received(&self) -> u64 {
        self.received
    }

    pub fn attach(&mut self) {
        self.foreign = self.queue.len();
        self.window = ReceiveWindow::default();
    }

    pub fn accept(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let overrun = || {
            WireError::new(
                Code::InvalidRequest,
                "more was sent than there was credit for",
            )
        };
        self.window.receive(bytes.len()).map_err(|_| overrun())?;
        self.received += bytes.len() as u64;
        if self.ended {
            return Err(WireError::new(
                Code::InvalidRequest,
                "stdin has been ended before",
            ));
        }
        if self.queue.len() + bytes.len() > MOST {
            return Err(overrun());
        }
        self.queue.extend(bytes);
        Ok(())
    }

    /// No more will come; the process reads the end once it has read what waits.
    pub fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) && self.terminal {
            self.queue.push_back(END_OF_TRANSMISSION);
            self.foreign += 1;
        }
    }

    /// Writes what the process takes now. Answers the credit to grant.
    pub fn flush(&mut self) -> Option<u32> {
        let mut consumed = 0;
        while !self.queue.is_empty() {
            let Some(fd) = self.fd() else {
                consumed += self.drop_all();
                break;
            };
            let (front, _) = self.queue.as_slices();
            match sys::write(fd, front) {
                Ok(count) => consumed += self.drop_front(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Nobody reads any more.
                Err(_) => self.close(),
            }
        }
        if self.queue.is_empty() && self.ended && !self.terminal {
            self.fd = None;
        }
        self.window.consume(consumed)
    }

    /// Whether the descriptor's readiness is being waited for.
    pub fn waiting(&self) -> bool {
        self.fd.is_some() && !self.queue.is_empty()
    }

    pub fn close(&mut self) {
        self.fd = None;
    }

    fn drop_all(&mut self) -> u64 {
        let all = self.queue.len();
        self.drop_front(all)
    }

    fn drop_front(&mut self, count: usize) -> u64 {
        self.queue.drain(..count);
        let foreign = count.min(self.foreign);
        self.foreign -= foreign;
        (count - foreign) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_comes_back_as_the_process_reads() {
        let (reader, writer) = sys::pipe().expect("pipe");
        sys::set_nonblocking(writer.as_raw_fd()).expect("flags");
        let mut input = Input::new(writer, false);
        input.accept(&[1; 200_000]).expect("in the window");
        assert_eq!(input.flush(), Some(65_536));
        assert!(input.waiting());
        let mut scratch = vec![0; 1 << 20];
        let mut granted = 65_536;
        for _ in 0..10 {
            let _more = sys::read(reader.as_raw_fd(), &mut scratch).expect("read");
            granted += input.flush().unwrap_or(0);
            if !input.waiting() {
                break;
            }
        }
        assert!((190_000..=200_000).contains(&granted), "{granted}");
        input.end();
        assert_eq!(input.flush(), None);
        assert!(input.fd().is_none());
    }

    #[test]
    fn more_than_the_window_is_an_error() {
        let mut input = Input::none();
        input.accept(&vec![0; 262_144]).expect("the window");
        assert!(input.accept(&[0]).is_err());
    }

    #[test]
    fn what_nobody_reads_is_thrown_away_and_credited() {
        let mut input = Input::none();
        input.accept(&[0; 100_000]).expect("in the window");
        assert_eq!(input.flush(), Some(100_000));
    }
}
