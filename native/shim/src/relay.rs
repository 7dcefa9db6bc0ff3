//! Connections to published ports, carried to wherever the guest's port can be reached.

use crate::bucket::Bucket;
use crate::console::would_block;
use crate::launch::{PortLimits, Published};
use crate::traffic::{Traffic, Visitor};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Instant;

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
    peer: IpAddr,
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

/// While a rate holds somebody back: milliseconds between looks whether it still does.
const TICK_MS: i32 = 10;

pub struct Relay {
    connections: BTreeMap<u64, Connection>,
    next: u64,
    /// Guest port -> where it can be reached.
    targets: HashMap<u16, SocketAddr>,
    traffic: Traffic,
    inward: Bucket,
    outward: Bucket,
}

impl Relay {
    pub fn new(limits: PortLimits) -> Self {
        Relay {
            connections: BTreeMap::new(),
            next: 0,
            targets: HashMap::new(),
            traffic: Traffic::default(),
            inward: Bucket::new(limits.download),
            outward: Bucket::new(limits.upload),
        }
    }

    pub fn limit(&mut self, limits: PortLimits) {
        self.inward = Bucket::new(limits.download);
        self.outward = Bucket::new(limits.upload);
    }

    pub fn timeout_ms(&mut self) -> i32 {
        let now = Instant::now();
        self.inward.fill(now);
        self.outward.fill(now);
        let throttled = self.inward.is_empty() || self.outward.is_empty();
        if throttled && !self.connections.is_empty() {
            TICK_MS
        } else {
            -1
        }
    }

    /// Who is connected, and who was.
    pub fn traffic(&self) -> Value {
        let open = self.connections.values().filter(|one| one.is_open());
        self.traffic.tell(open.map(Connection::visitor))
    }

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
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let mut connection = Connection {
            published,
            peer: client.peer_addr().map_or(unknown, |peer| peer.ip()),
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
            let throttled = (self.inward.is_empty(), self.outward.is_empty());
            connection.interests(throttled, |side, fd, events| each(*id, side, fd, events));
        }
    }

    pub fn service(&mut self, id: u64, side: Side, events: i16, scratch: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let rates = (&mut self.inward, &mut self.outward);
        if !matches!(connection.service(side, events, scratch, rates), Ok(true)) {
            if connection.is_open() {
                self.traffic.ended(connection.visitor());
            }
            self.connections.remove(&id);
        }
    }
}

impl Connection {
    fn connect(&mut self, target: SocketAddr) -> io::Result<()> {
        self.upstream = Upstream::Connecting(connect_nonblocking(target)?);
        Ok(())
    }

    /// Carried somewhere, or about to be.
    fn is_open(&self) -> bool {
        !matches!(self.upstream, Upstream::Waiting)
    }

    fn visitor(&self) -> Visitor {
        (self.published.guest_port, self.peer)
    }

    fn interests(&self, throttled: (bool, bool), mut each: impl FnMut(Side, RawFd, i16)) {
        let client = self.client.as_raw_fd();
        match &self.upstream {
            Upstream::Waiting => each(Side::Client, client, 0),
            Upstream::Connecting(upstream) => {
                each(Side::Client, client, 0);
                each(Side::Upstream, upstream.as_raw_fd(), libc::POLLOUT);
            }
            Upstream::Open(upstream) => {
                for (side, fd, from, to, throttled) in [
                    (
                        Side::Client,
                        client,
                        &self.inward,
                        &self.outward,
                        throttled.0,
                    ),
                    (
                        Side::Upstream,
                        upstream.as_raw_fd(),
                        &self.outward,
                        &self.inward,
                        throttled.1,
                    ),
                ] {
                    let read = if !throttled && !from.ended && from.held.len() < BUFFER {
                        libc::POLLIN
                    } else {
                        0
                    };
                    let write = if to.held.is_empty() { 0 } else { libc::POLLOUT };
                    // A socket shut in our direction hangs up for good: with nothing to do it would spin the loop.
                    // One that hangs up while it is held back still has something to say.
                    if read | write != 0 || !to.told && !throttled {
                        each(side, fd, read | write);
                    }
                }
            }
        }
    }

    /// False once it is over.
    fn service(
        &mut self,
        side: Side,
        events: i16,
        scratch: &mut [u8],
        (inward, outward): (&mut Bucket, &mut Bucket),
    ) -> io::Result<bool> {
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
        self.inward
            .pump(&mut self.client, upstream, scratch, inward)?;
        self.outward
            .pump(upstream, &mut self.client, scratch, outward)?;
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
        rate: &mut Bucket,
    ) -> io::Result<()> {
        self.drain(to)?;
        let room = BUFFER
            .saturating_sub(self.held.len())
            .min(scratch.len())
            .min(rate.budget());
        if !self.ended && room > 0 {
            match from.read(&mut scratch[..room]) {
                Ok(0) => self.ended = true,
                Ok(n) => {
                    rate.spend(n);
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
