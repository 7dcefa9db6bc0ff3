//! Ending other processes' TCP connections: the kernel's socket monitor (sock_diag(7)) lists them and destroys them.

use crate::sys::{self, Kept};
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};

/// linux/netlink.h and linux/sock_diag.h.
const NETLINK_SOCK_DIAG: libc::c_int = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;

/// Bits by state, of include/net/tcp_states.h: all but TIME_WAIT (6), CLOSE (7) and LISTEN (10), which have no peer to lose.
const STATES: u32 = 0b1_1011_0011_1110;
const LISTENING: u32 = 1 << 10;
/// Bytes of `struct nlmsghdr`, of `inet_diag_req_v2` before its `inet_diag_sockid`, and of that.
const HEADER: usize = 16;
const ASKED: usize = 8;
const SOCKET_ID: usize = 48;
/// Connections that were being accepted become sockets of their own meanwhile.
const ROUNDS: usize = 8;

type SocketId = [u8; SOCKET_ID];

/// Destroys every TCP socket of this network namespace that has a peer, unless that peer `stays`. Answers how many.
pub fn destroy_tcp(stays: impl Fn(IpAddr) -> bool) -> io::Result<usize> {
    alone(|monitor| {
        let mut count = 0;
        for _ in 0..ROUNDS {
            let before = count;
            for (family, id) in monitor.all(STATES)? {
                if peer(family, &id).is_some_and(|peer| !stays(peer))
                    && monitor.destroy(family, &id)?
                {
                    count += 1;
                }
            }
            if count == before {
                break;
            }
        }
        Ok(count)
    })
}

/// Whether [`destroy_tcp`] would find any.
pub fn any_tcp(stays: impl Fn(IpAddr) -> bool) -> io::Result<bool> {
    let found = alone(|monitor| monitor.all(STATES))?;
    let mut peers = found.iter().filter_map(|(family, id)| peer(*family, id));
    Ok(peers.any(|peer| !stays(peer)))
}

/// Whether nothing has, or can get, a peer outside of this machine while nobody opens a socket: a listener gets one by itself.
pub fn unconnected() -> io::Result<bool> {
    let found = alone(|monitor| monitor.all(STATES | LISTENING))?;
    Ok(!found.iter().any(leads_outside))
}

/// Whether a socket's peer is outside, or may be: that of a listener comes to where it listens.
fn leads_outside((family, id): &(u8, SocketId)) -> bool {
    let end = match peer(*family, id) {
        Some(peer) if peer.is_unspecified() => own(*family, id),
        other => other,
    };
    !end.is_some_and(|end| end.is_loopback())
}

struct Monitor(Arc<File>);

static SOCKET: Kept = Kept::new();

/// One question at a time. Where one has failed, what may still be answered to it is left behind.
fn alone<T>(ask: impl FnOnce(&Monitor) -> io::Result<T>) -> io::Result<T> {
    static ASKING: Mutex<()> = Mutex::new(());
    let _alone = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
    Monitor::open()
        .and_then(|monitor| ask(&monitor))
        .inspect_err(|_| SOCKET.forget())
}

impl Monitor {
    fn open() -> io::Result<Monitor> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        let open = || sys::socket(libc::AF_NETLINK, kind, NETLINK_SOCK_DIAG).map(File::from);
        SOCKET.get(open).map(Monitor)
    }

    fn all(&self, states: u32) -> io::Result<Vec<(u8, SocketId)>> {
        let mut found = self.list(libc::AF_INET as u8, states)?;
        found.extend(self.list(libc::AF_INET6 as u8, states)?);
        Ok(found)
    }

    fn list(&self, family: u8, states: u32) -> io::Result<Vec<(u8, SocketId)>> {
        let flags = NLM_F_REQUEST | NLM_F_DUMP;
        let any = [0; SOCKET_ID];
        self.ask(&request(SOCK_DIAG_BY_FAMILY, flags, family, states, &any))?;
        let mut found = Vec::new();
        let mut buffer = [0; 8 * 1024];
        loop {
            let count = sys::read(self.0.as_raw_fd(), &mut buffer)?;
            for (kind, body) in messages(&buffer[..count]) {
                match kind {
                    NLMSG_DONE => return Ok(found),
                    NLMSG_ERROR => return answer(body).map(|()| found),
                    _ => found.extend(listed(body)),
                }
            }
        }
    }

    /// Whether it was there, and could be destroyed.
    fn destroy(&self, family: u8, id: &SocketId) -> io::Result<bool> {
        let flags = NLM_F_REQUEST | NLM_F_ACK;
        self.ask(&request(SOCK_DESTROY, flags, family, STATES, id))?;
        let mut buffer = [0; 4096];
        let count = sys::read(self.0.as_raw_fd(), &mut buffer)?;
        let answered = messages(&buffer[..count])
            .into_iter()
            .find(|(kind, _)| *kind == NLMSG_ERROR)
            .map_or(Ok(()), |(_, body)| answer(body));
        match answered {
            Ok(()) => Ok(true),
            // Gone by itself, or a mere memory of a connection.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP)) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn ask(&self, request: &[u8]) -> io::Result<()> {
        sys::write(self.0.as_raw_fd(), request).map(|_| ())
    }
}

fn request(kind: u16, flags: u16, family: u8, states: u32, id: &SocketId) -> Vec<u8> {
    let length = (HEADER + ASKED + SOCKET_ID) as u32;
    let mut bytes = Vec::with_capacity(length as usize);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]); // sequence and port: one question at a time, on a socket of its own
    bytes.extend([family, libc::IPPROTO_TCP as u8, 0, 0]);
    bytes.extend(states.to_ne_bytes());
    bytes.extend(id);
    bytes
}

/// (type, body) of each message in a datagram.
fn messages(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let Some(header) = bytes.get(..HEADER) {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let Some(body) = bytes.get(HEADER..length) else {
            break;
        };
        found.push((u16::from_ne_bytes([header[4], header[5]]), body));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    found
}

/// Of `struct nlmsgerr`: 0 or a negative errno.
fn answer(body: &[u8]) -> io::Result<()> {
    let number = body
        .get(..4)
        .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok())
        .map_or(-libc::EIO, i32::from_ne_bytes);
    match number {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(-number)),
    }
}

/// Family and identity out of a `struct inet_diag_msg`.
fn listed(body: &[u8]) -> Option<(u8, SocketId)> {
    let id = body.get(4..4 + SOCKET_ID)?.try_into().ok()?;
    Some((*body.first()?, id))
}

/// Whom a socket talks to.
fn peer(family: u8, id: &SocketId) -> Option<IpAddr> {
    address(family, id.get(20..36)?)
}

/// Where it is itself.
fn own(family: u8, id: &SocketId) -> Option<IpAddr> {
    address(family, id.get(4..20)?)
}

/// An IPv4 address of an IPv6 socket is told as what it is.
fn address(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    if i32::from(family) == libc::AF_INET {
        let [a, b, c, d, ..] = bytes;
        return Some(Ipv4Addr::new(a, b, c, d).into());
    }
    let address = Ipv6Addr::from(bytes);
    Some(
        address
            .to_ipv4_mapped()
            .map_or(address.into(), IpAddr::from),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_with_peer(peer: [u8; 16]) -> SocketId {
        let mut id = [0; SOCKET_ID];
        id[20..36].copy_from_slice(&peer);
        id
    }

    #[test]
    fn a_peer_is_the_same_whichever_family_the_socket_has() {
        let mut four = [0; 16];
        four[..4].copy_from_slice(&[127, 0, 0, 1]);
        let mapped = Ipv4Addr::new(127, 0, 0, 1).to_ipv6_mapped().octets();
        for (family, bytes) in [(libc::AF_INET, four), (libc::AF_INET6, mapped)] {
            let found = peer(family as u8, &id_with_peer(bytes)).expect("a peer");
            assert!(found.is_loopback(), "{found}");
        }
    }

    #[test]
    fn a_listener_may_get_a_peer_from_where_it_listens() {
        let bytes = |address: [u8; 4]| [&address[..], &[0; 12]].concat();
        let id = |own: [u8; 4], peer: [u8; 4]| {
            let mut id = [0; SOCKET_ID];
            id[4..20].copy_from_slice(&bytes(own));
            id[20..36].copy_from_slice(&bytes(peer));
            (libc::AF_INET as u8, id)
        };
        let inside = [127, 0, 0, 1];
        for (own, peer, outside) in [
            (inside, inside, false),
            ([10, 0, 0, 2], [10, 0, 0, 9], true),
            (inside, [0; 4], false),
            ([0; 4], [0; 4], true),
            ([10, 0, 0, 2], [0; 4], true),
        ] {
            assert_eq!(leads_outside(&id(own, peer)), outside, "{own:?} {peer:?}");
        }
    }

    #[test]
    fn requests_and_answers_are_laid_out_as_the_kernel_has_them() {
        let sent = request(
            SOCK_DESTROY,
            NLM_F_REQUEST,
            2,
            STATES,
            &id_with_peer([9; 16]),
        );
        assert_eq!(sent.len(), 72);
        let [(kind, body)] = messages(&sent)[..] else {
            panic!("one message");
        };
        assert_eq!((kind, body[0], body[1]), (SOCK_DESTROY, 2, 6));
        assert_eq!(&body[ASKED + 20..ASKED + 36], &[9; 16]);
        assert_eq!(
            answer(&(-libc::ENOENT).to_ne_bytes())
                .unwrap_err()
                .raw_os_error(),
            Some(libc::ENOENT)
        );
        assert!(answer(&0i32.to_ne_bytes()).is_ok());
        assert!(messages(&[1, 0, 0, 0]).is_empty());
    }

    #[test]
    fn connections_of_this_host_are_listed_with_their_peers() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listener");
        let port = listener.local_addr().expect("address").port();
        let _client = std::net::TcpStream::connect(("127.0.0.1", port)).expect("connected");
        let Ok(found) =
            Monitor::open().and_then(|monitor| monitor.list(libc::AF_INET as u8, STATES))
        else {
            return; // This kernel has no monitor to ask.
        };
        let ours = |id: &SocketId| u16::from_be_bytes([id[2], id[3]]) == port;
        let peers: Vec<_> = found
            .iter()
            .filter(|(_, id)| ours(id))
            .filter_map(|(family, id)| peer(*family, id))
            .collect();
        assert_eq!(peers, [IpAddr::from([127, 0, 0, 1])]);
    }
}
