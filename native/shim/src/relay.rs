//! Connections to published ports, carried to wherever the guest's port can be reached.

use crate::console::would_block;
use crate::launch::Published;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Connections carried at once; more wait in the listeners' queues.
pub const MAX_CONNECTIONS: usize = 512;
/// Per direction.
const BUFFER: usize = 32 * 1024;

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    held: Vec<u8>,
    /// The source has said its last.
    ended: bool,
    /// And the destination has been told.
    told: bool,
}

enum Upstream {
    /// Nobody has said yet where to.
    Waiting,
    Connecting(TcpStream),
    Open(TcpStream),
}

struct Connection {
    published: Published,
    client: TcpStream,
    upstream: Upstream,
    inward: Pipe,
    outward: Pipe,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Side {
    Client,
    Upstream,
}

#[derive(Default)]
pub struct Relay {
    connections: BTreeMap<u64, Connection>,
    next: u64,
    /// Guest port -> where it can be reached.
    targets: HashMap<u16, SocketAddr>,
}

impl Relay {
    pub fn is_full(&self) -> bool {
        self.connections.len() >= MAX_CONNECTIONS
    }

    pub fn set_target(&mut self, guest_port: u16, target: SocketAddr) {
        self.targets.insert(guest_port, target);
        self.connections.retain(|_, connection| {
            let waits = matches!(connection.upstream, Upstream::Waiting);
            !waits
                || connection.published.guest_port != guest_port
                || connection.connect(target).is_ok()
        });
    }

    pub fn accept(&mut self, client: TcpStream, published: Published) {
        let mut connection = Connection {
            published,
            client,
            upstream: Upstream::Waiting,
            inward: Pipe::default(),
            outward: Pipe::default(),
        };
        let ready = connection.client.set_nonblocking(true).and_then(|()| {
            connection.client.set_nodelay(true)?;
            match self.targets.get(&published.guest_port) {
                Some(target) => connection.connect(*target),
                None => Ok(()),
            }
        });
        if ready.is_ok() {
            self.next += 1;
            self.connections.insert(self.next, connection);
        }
    }

    /// Ends the connections of a port that is no longer published.
    pub fn close(&mut self, published: &Published) {
        self.connections
            .retain(|_, connection| connection.published != *published);
    }

    /// Descriptors to poll, with the events wanted; errors and hang-ups are always told.
    pub fn interests(&self, mut each: impl FnMut(u64, Side, RawFd, i16)) {
        for (id, connection) in &self.connections {
            connection.interests(|side, fd, events| each(*id, side, fd, events));
        }
    }

    pub fn service(&mut self, id: u64, side: Side, events: i16, scratch: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if !matches!(connection.service(side, events, scratch), Ok(true)) {
            self.connections.remove(&id);
        }
    }
}

impl Connection {
    fn connect(&mut self, target: SocketAddr) -> io::Result<()> {
        self.upstream = Upstream::Connecting(connect_nonblocking(target)?);
        Ok(())
    }

    fn interests(&self, mut each: impl FnMut(Side, RawFd, i16)) {
        let client = self.client.as_raw_fd();
        match &self.upstream {
            Upstream::Waiting => each(Side::Client, client, 0),
            Upstream::Connecting(upstream) => {
                each(Side::Client, client, 0);
                each(Side::Upstream, upstream.as_raw_fd(), libc::POLLOUT);
            }
            Upstream::Open(upstream) => {
                for (side, fd, from, to) in [
                    (Side::Client, client, &self.inward, &self.outward),
                    (
                        Side::Upstream,
                        upstream.as_raw_fd(),
                        &self.outward,
                        &self.inward,
                    ),
                ] {
                    let read = if !from.ended && from.held.len() < BUFFER {
                        libc::POLLIN
                    } else {
                        0
                    };
                    let write = if to.held.is_empty() { 0 } else { libc::POLLOUT };
                    // A socket shut in our direction hangs up for good: with nothing to do it would spin the loop.
                    if read | write != 0 || !to.told {
                        each(side, fd, read | write);
                    }
                }
            }
        }
    }

    /// False once it is over.
    fn service(&mut self, side: Side, events: i16, scratch: &mut [u8]) -> io::Result<bool> {
        let broken = events & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0;
        match (
            std::mem::replace(&mut self.upstream, Upstream::Waiting),
            side,
        ) {
            (Upstream::Waiting, _) => return Ok(!broken),
            (Upstream::Connecting(upstream), Side::Client) => {
                self.upstream = Upstream::Connecting(upstream);
                return Ok(!broken);
            }
            (Upstream::Connecting(upstream), Side::Upstream) => {
                if let Some(error) = upstream.take_error()? {
                    return Err(error);
                }
                self.upstream = Upstream::Open(upstream);
            }
            (open, _) => self.upstream = open,
        }
        let Upstream::Open(upstream) = &mut self.upstream else {
            return Ok(true);
        };
        self.inward.pump(&mut self.client, upstream, scratch)?;
        self.outward.pump(upstream, &mut self.client, scratch)?;
        // An error that neither a read nor a write has met.
        let idle = events & (libc::POLLIN | libc::POLLOUT) == 0;
        let over = self.inward.told && self.outward.told;
        Ok(!(over || broken && idle))
    }
}

impl Pipe {
    fn pump(
        &mut self,
        from: &mut TcpStream,
        to: &mut TcpStream,
        scratch: &mut [u8],
    ) -> io::Result<()> {
        self.drain(to)?;
        let room = BUFFER.saturating_sub(self.held.len()).min(scratch.len());
        if !self.ended && room > 0 {
            match from.read(&mut scratch[..room]) {
                Ok(0) => self.ended = true,
                Ok(n) => {
                    self.held.extend_from_slice(&scratch[..n]);
                    self.drain(to)?;
                }
                Err(error) if would_block(&error) => {}
                Err(error) => return Err(error),
            }
        }
        if self.ended && self.held.is_empty() && !self.told {
            self.told = true;
            to.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    fn drain(&mut self, to: &mut TcpStream) -> io::Result<()> {
        while !self.held.is_empty() {
            match to.write(&self.held) {
                Ok(n) => drop(self.held.drain(..n)),
                Err(error) if would_block(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.held = Vec::new();
        Ok(())
    }
}

/// std has no connect that does not wait.
fn connect_nonblocking(target: SocketAddr) -> io::Result<TcpStream> {
    let SocketAddr::V4(v4) = target else {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "relays go to IPv4 addresses",
        ));
    };
    // SAFETY: the descriptor is owned from the moment it exists; the address outlives the call.
    unsafe {
        let fd = libc::socket(
            libc::AF_INET,
            libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            0,
        );
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let stream = TcpStream::from(OwnedFd::from_raw_fd(fd));
        let address = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: v4.port().to_be(),
            sin_addr: libc::in_addr {
                s_addr: u32::from_ne_bytes(v4.ip().octets()),
            },
            sin_zero: [0; 8],
        };
        let size = std::mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;
        if libc::connect(fd, (&raw const address).cast(), size) != 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EINPROGRESS) {
                return Err(error);
            }
        }
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
