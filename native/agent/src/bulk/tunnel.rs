//! One TCP connection to a port of the guest, as a stream.

use super::outbox::Piece;
use crate::access::guest_error;
use crate::poll::{Poll, READ, WRITE};
use crate::sys;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use viv_protocol::{Code, Overrun, ReceiveWindow, SendWindow, Value, WireError, HEADER_LEN};

/// Bytes in one frame: half of what it can hold keeps others from waiting long.
const FRAME_BYTES: usize = 32 * 1024;

#[derive(PartialEq, Eq, Clone, Copy)]
enum State {
    Connecting,
    Open,
    /// Failed or ended; what is queued for the host is still told.
    Over,
}

pub struct Tunnel {
    socket: OwnedFd,
    state: State,
    to_guest: VecDeque<u8>,
    receive: ReceiveWindow,
    send: SendWindow,
    /// The host sends no more; the guest has been told.
    host_ended: bool,
    told_guest: bool,
    /// The guest sends no more.
    guest_ended: bool,
    /// Said to the host as soon as it is asked.
    said: VecDeque<Piece>,
    /// What epoll watches.
    watched: u32,
}

fn address(host: &str, port: u16) -> Result<SocketAddr, WireError> {
    let ip = match host {
        "" | "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        other => other.parse().map_err(|_| {
            WireError::new(Code::InvalidRequest, format!("{other} is no IP address"))
        })?,
    };
    Ok(SocketAddr::new(ip, port))
}

fn raw_address(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: plain bytes.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let place = std::ptr::addr_of_mut!(storage);
    let length = match address {
        SocketAddr::V4(v4) => {
            // SAFETY: a storage has room and alignment for every kind of address.
            let raw = unsafe { &mut *place.cast::<libc::sockaddr_in>() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            std::mem::size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above.
            let raw = unsafe { &mut *place.cast::<libc::sockaddr_in6>() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            std::mem::size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}

impl Tunnel {
    /// Begins to connect; whether it worked is said later.
    pub fn connect(host: &str, port: u16) -> Result<Tunnel, WireError> {
        let target = address(host, port)?;
        let failed = |error: io::Error| guest_error(&format!("{target}"), &error);
        let family = if target.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        // SAFETY: no pointers; the descriptor is new and ours.
        let socket = unsafe {
            let fd = sys::check(libc::socket(
                family,
                libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                0,
            ))
            .map_err(failed)?;
            OwnedFd::from_raw_fd(fd)
        };
        let no_delay: libc::c_int = 1;
        let (raw, length) = raw_address(target);
        // SAFETY: an integer and an address of the lengths that are told.
        let begun = unsafe {
            let size = std::mem::size_of_val(&no_delay) as libc::socklen_t;
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_NODELAY,
                std::ptr::addr_of!(no_delay).cast(),
                size,
            );
            sys::check(libc::connect(
                socket.as_raw_fd(),
                std::ptr::addr_of!(raw).cast(),
                length,
            ))
        };
        match begun {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
                return Err(failed(error))
            }
            _ => {}
        }
        Ok(Tunnel {
            socket,
            state: State::Connecting,
            to_guest: VecDeque::new(),
            receive: ReceiveWindow::default(),
            send: SendWindow::default(),
            host_ended: false,
            told_guest: false,
            guest_ended: false,
            said: VecDeque::new(),
            watched: 0,
        })
    }

    pub fn accept(&mut self, bytes: &[u8]) -> Result<(), Overrun> {
        self.receive.receive(bytes.len())?;
        if !self.host_ended {
            self.to_guest.extend(bytes);
        }
        Ok(())
    }

    pub fn end(&mut self) {
        self.host_ended = true;
    }

    pub fn grant(&mut self, bytes: u32) {
        self.send.grant(bytes);
    }

    /// The socket can do something, or there is something for it to do.
    pub fn ready(&mut self) {
        if self.state == State::Connecting {
            self.finish_connecting();
        }
        if self.state == State::Open {
            self.write();
        }
    }

    fn finish_connecting(&mut self) {
        let mut asked = libc::pollfd {
            fd: self.socket.as_raw_fd(),
            events: libc::POLLOUT,
            revents: 0,
        };
        let mut error: libc::c_int = 0;
        let mut size = std::mem::size_of_val(&error) as libc::socklen_t;
        // SAFETY: one struct and its number; an integer and its size.
        let answered = unsafe {
            if libc::poll(&mut asked, 1, 0) != 1 {
                return;
            }
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ERROR,
                std::ptr::addr_of_mut!(error).cast(),
                &mut size,
            )
        };
        if answered == 0 && error == 0 {
            self.state = State::Open;
            self.said
                .push_back(Piece::Answer(Ok(Value::Map(Vec::new()))));
        } else {
            self.state = State::Over;
            let error = guest_error("connecting failed", &io::Error::from_raw_os_error(error));
            self.said.push_back(Piece::Answer(Err(error)));
        }
    }

    fn write(&mut self) {
        let mut written = 0;
        while !self.to_guest.is_empty() {
            let (front, _) = self.to_guest.as_slices();
            match sys::write(self.socket.as_raw_fd(), front) {
                Ok(count) => {
                    self.to_guest.drain(..count);
                    written += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.fail(&error),
            }
        }
        if let Some(grant) = self.receive.consume(written) {
            self.said.push_back(Piece::Credit(grant));
        }
        if self.host_ended
            && self.to_guest.is_empty()
            && !std::mem::replace(&mut self.told_guest, true)
        {
            // SAFETY: no pointers. A peer that is gone already needs no telling.
            unsafe { libc::shutdown(self.socket.as_raw_fd(), libc::SHUT_WR) };
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.state = State::Over;
        self.said
            .push_back(Piece::Failed(guest_error("the connection broke", error)));
    }

    /// What the host is to be told next.
    pub fn next_piece(&mut self) -> Option<Piece> {
        if let Some(said) = self.said.pop_front() {
            return Some(said);
        }
        if self.state == State::Open && self.guest_ended && self.told_guest {
            self.state = State::Over;
            return Some(Piece::Over);
        }
        let most = FRAME_BYTES.min(usize::try_from(self.send.available()).unwrap_or(FRAME_BYTES));
        if self.state != State::Open || self.guest_ended || most == 0 {
            return None;
        }
        let mut buffer = vec![0; HEADER_LEN + most];
        match sys::read(self.socket.as_raw_fd(), &mut buffer[HEADER_LEN..]) {
            Ok(0) => {
                self.guest_ended = true;
                Some(Piece::End)
            }
            Ok(count) => {
                self.send.take(count);
                buffer.truncate(HEADER_LEN + count);
                Some(Piece::Data(buffer))
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                None
            }
            Err(error) => {
                self.fail(&error);
                self.said.pop_front()
            }
        }
    }

    /// Watches exactly what could make progress now. `full`: nothing more can be told to the host at present.
    pub fn watch(&mut self, poll: &Poll, token: u64, full: bool) {
        let wanted = match self.state {
            State::Connecting => WRITE,
            State::Over => 0,
            State::Open => {
                let read = !self.guest_ended && !full && self.send.available() > 0;
                (if read { READ } else { 0 }) | (if self.to_guest.is_empty() { 0 } else { WRITE })
            }
        };
        if wanted == self.watched {
            return;
        }
        let fd = self.socket.as_raw_fd();
        let done = match (self.watched, wanted) {
            (_, 0) => {
                poll.remove(fd);
                Ok(())
            }
            (0, _) => poll.add(fd, token, wanted),
            _ => poll.change(fd, token, wanted),
        };
        self.watched = if done.is_ok() { wanted } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_and_localhost() {
        assert_eq!(
            address("localhost", 80).map(|found| found.to_string()),
            Ok("127.0.0.1:80".to_owned())
        );
        assert_eq!(
            address("::1", 80).map(|found| found.to_string()),
            Ok("[::1]:80".to_owned())
        );
        assert_eq!(
            address("example.org", 80).unwrap_err().code,
            Code::InvalidRequest
        );
    }

    /// Drives a tunnel as the loop does until it has something to say.
    fn next(tunnel: &mut Tunnel) -> Option<Piece> {
        for _ in 0..2000 {
            tunnel.ready();
            if let Some(piece) = tunnel.next_piece() {
                return Some(piece);
            }
            std::thread::yield_now();
        }
        None
    }

    #[test]
    fn bytes_and_both_ends_go_through() {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut tunnel = Tunnel::connect("localhost", listener.local_addr().expect("bound").port())
            .expect("begun");
        let (mut peer, _) = listener.accept().expect("connected");
        assert!(matches!(next(&mut tunnel), Some(Piece::Answer(Ok(_)))));
        tunnel.accept(b"to the guest").expect("in the window");
        tunnel.end();
        tunnel.ready();
        let mut heard = String::new();
        peer.read_to_string(&mut heard).expect("until the end");
        assert_eq!(heard, "to the guest");
        peer.write_all(b"back").expect("written");
        drop(peer);
        assert!(
            matches!(next(&mut tunnel), Some(Piece::Data(buffer)) if &buffer[HEADER_LEN..] == b"back")
        );
        assert!(matches!(next(&mut tunnel), Some(Piece::End)));
        assert!(matches!(next(&mut tunnel), Some(Piece::Over)));
    }

    #[test]
    fn a_refused_connection_is_an_error() {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let refused = match Tunnel::connect("127.0.0.1", port) {
            Err(error) => Some(error),
            Ok(mut tunnel) => match next(&mut tunnel) {
                Some(Piece::Answer(Err(error))) => Some(error),
                _ => None,
            },
        };
        assert_eq!(
            refused.and_then(|error| error.errno),
            Some(libc::ECONNREFUSED)
        );
    }
}
