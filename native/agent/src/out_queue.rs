use crate::sys;
use std::collections::VecDeque;
use std::os::fd::RawFd;

/// Most bytes the kernel takes in one write to a virtio port; small frames are joined up to this.
const JOIN: usize = 32 * 1024;

/// Bytes on their way into a port, in whole pieces: what was begun is always finished, so that the other end never
/// takes a new frame for the rest of an old one.
#[derive(Default)]
pub struct OutQueue {
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of the first piece that are written already.
    written: usize,
    queued: usize,
}

/// What became of a flush.
#[derive(Debug, PartialEq, Eq)]
pub enum Flushed {
    All,
    /// The port is full or its host end closed; the next edge tells.
    Waiting,
}

impl OutQueue {
    /// Bytes not yet written.
    pub fn len(&self) -> usize {
        self.queued
    }

    pub fn is_empty(&self) -> bool {
        self.queued == 0
    }

    pub fn push(&mut self, piece: Vec<u8>) {
        self.queued += piece.len();
        let begun = self.written > 0 && self.pieces.len() == 1;
        match self.pieces.back_mut() {
            Some(last) if !begun && last.len() + piece.len() <= JOIN => {
                last.extend_from_slice(&piece)
            }
            _ => self.pieces.push_back(piece),
        }
    }

    /// Drops everything that has not been begun.
    pub fn clear(&mut self) {
        self.pieces.truncate(usize::from(self.written > 0));
        self.queued = self
            .pieces
            .front()
            .map_or(0, |piece| piece.len() - self.written);
    }

    /// Gives every piece that has been written whole to `spent`, for its memory.
    pub fn flush_into(&mut self, fd: RawFd, mut spent: impl FnMut(Vec<u8>)) -> Flushed {
        while let Some(piece) = self.pieces.front() {
            match sys::write(fd, &piece[self.written..]) {
                Ok(count) => {
                    self.written += count;
                    self.queued -= count;
                    if self.written == piece.len() {
                        self.written = 0;
                        self.pieces.pop_front().map(&mut spent);
                    }
                }
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(_) => return Flushed::Waiting,
            }
        }
        Flushed::All
    }

    pub fn flush(&mut self, fd: RawFd) -> Flushed {
        self.flush_into(fd, drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn small_pieces_are_joined_and_large_ones_kept() {
        let mut queue = OutQueue::default();
        queue.push(vec![1; 10]);
        queue.push(vec![2; 10]);
        queue.push(vec![3; JOIN]);
        assert_eq!((queue.pieces.len(), queue.len()), (2, JOIN + 20));
    }

    #[test]
    fn clearing_keeps_the_piece_that_was_begun() {
        let (reader, writer) = sys::pipe().expect("a pipe");
        sys::set_nonblocking(writer.as_raw_fd()).expect("flags");
        let mut queue = OutQueue::default();
        queue.push(vec![7; 200_000]);
        queue.push(vec![8; 40_000]);
        assert_eq!(queue.flush(writer.as_raw_fd()), Flushed::Waiting);
        let before = queue.written;
        assert!(before > 0);
        queue.clear();
        assert_eq!(queue.len(), 200_000 - before);
        let mut scratch = vec![0; 1 << 20];
        let mut seen = 0;
        loop {
            seen += sys::read(reader.as_raw_fd(), &mut scratch).expect("read");
            if queue.flush(writer.as_raw_fd()) == Flushed::All
                && queue.is_empty()
                && seen >= 200_000
            {
                break;
            }
        }
        assert_eq!(seen, 200_000);
    }
}
