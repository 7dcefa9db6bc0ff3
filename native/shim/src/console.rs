//! `console.sock`: the serial line, copied to every client, and what they type.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

/// A client that lets more than this pile up is dropped: the guest never waits for a reader.
const MAX_BEHIND: usize = 1024 * 1024;
/// What clients have typed and the guest has not taken; beyond it they wait.
const MAX_INPUT: usize = 16 * 1024;
pub const MAX_CLIENTS: usize = 32;

struct Client {
    stream: UnixStream,
    behind: VecDeque<u8>,
    /// It will type nothing more, but goes on listening.
    ended: bool,
}

#[derive(Default)]
pub struct Console {
    clients: BTreeMap<u64, Client>,
    next: u64,
    input: VecDeque<u8>,
}

impl Console {
    pub fn add(&mut self, stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        self.next += 1;
        self.clients.insert(
            self.next,
            Client {
                stream,
                behind: VecDeque::new(),
                ended: false,
            },
        );
        Ok(())
    }

    pub fn is_full(&self) -> bool {
        self.clients.len() >= MAX_CLIENTS
    }

    /// Descriptors to poll, with the events wanted.
    pub fn interests(&self) -> impl Iterator<Item = (u64, RawFd, i16)> + '_ {
        self.clients.iter().map(|(id, client)| {
            let read = if client.ended || self.input.len() >= MAX_INPUT {
                0
            } else {
                libc::POLLIN
            };
            let write = if client.behind.is_empty() {
                0
            } else {
                libc::POLLOUT
            };
            (*id, client.stream.as_raw_fd(), read | write)
        })
    }

    /// Output of the guest.
    pub fn broadcast(&mut self, bytes: &[u8]) {
        self.clients
            .retain(|_, client| client.send(bytes).is_ok() && client.behind.len() <= MAX_BEHIND);
    }

    /// A client's socket has something to say.
    pub fn service(&mut self, id: u64, events: i16, buffer: &mut [u8]) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let gone = events & (libc::POLLHUP | libc::POLLERR) != 0;
        let mut alive = client.flush().is_ok();
        let room = MAX_INPUT.saturating_sub(self.input.len()).min(buffer.len());
        if room == 0 {
            alive &= !gone;
        } else if alive && (gone || events & libc::POLLIN != 0) {
            alive = match client.stream.read(&mut buffer[..room]) {
                Ok(0) => {
                    client.ended = true;
                    !gone
                }
                Ok(n) => {
                    self.input.extend(&buffer[..n]);
                    true
                }
                Err(error) => would_block(&error),
            };
        }
        if !alive {
            self.clients.remove(&id);
        }
    }

    pub fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Hands what was typed to the serial line, as much as it takes.
    pub fn feed(&mut self, line: &mut UnixStream) {
        if !self.input.is_empty() && write_some(line, &mut self.input).is_err() {
            self.input.clear();
        }
    }
}

impl Client {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.behind.extend(bytes);
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        write_some(&mut self.stream, &mut self.behind)
    }
}

/// Writes until the peer takes no more.
pub fn write_some(stream: &mut UnixStream, queue: &mut VecDeque<u8>) -> io::Result<()> {
    while !queue.is_empty() {
        match stream.write(queue.as_slices().0) {
            Ok(n) => drop(queue.drain(..n)),
            Err(error) if would_block(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    // A flood leaves nothing behind once it is over.
    if queue.capacity() > 64 * 1024 {
        queue.shrink_to_fit();
    }
    Ok(())
}

pub fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
