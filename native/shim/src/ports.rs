//! Published ports: bound here before the VMM exists, so that nobody else can take one in between.

use crate::failure::Failure;
use crate::handover;
use crate::launch::{Binding, PublishRequest, Published};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;

pub struct Port {
    pub published: Published,
    pub listener: TcpListener,
}

/// Connections that wait to be accepted; the kernel may have less.
const BACKLOG: libc::c_int = 1024;

/// Most ports one machine can publish.
pub const MAX_PORTS: usize = 256;

pub fn bind(request: &PublishRequest) -> Result<Port, Failure> {
    let wanted = SocketAddr::new(request.host_address, request.host_port);
    let listener = match TcpListener::bind(wanted) {
        Err(error)
            if error.kind() == io::ErrorKind::AddrInUse
                && request.binding == Binding::Preferred =>
        {
            TcpListener::bind(SocketAddr::new(request.host_address, 0))
        }
        other => other,
    };
    let listener = listener.map_err(|error| refused(wanted, &error))?;
    // While nobody is let in more may wait than std's 128.
    // SAFETY: a system call on an open descriptor.
    unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) };
    let bound = listener
        .set_nonblocking(true)
        .and_then(|()| listener.local_addr())
        .map_err(|error| refused(wanted, &error))?;
    let published = Published {
        host_address: bound.ip(),
        host_port: bound.port(),
        guest_port: request.guest_port,
    };
    Ok(Port {
        published,
        listener,
    })
}

/// As [`bind_all`], but for those that somebody holds for this directory: these are taken over, with whoever waits.
pub fn take_or_bind(requests: &[PublishRequest]) -> Result<Vec<Port>, Failure> {
    let mut held = handover::take();
    let mut taken = Vec::new();
    for request in requests {
        let at = held.iter().position(|port| {
            port.published.host_address == request.host_address
                && port.published.host_port == request.host_port
        });
        taken.push(at.map(|at| {
            let mut port = held.swap_remove(at);
            port.published.guest_port = request.guest_port;
            port
        }));
    }
    // What nobody wants any more is free for others.
    drop(held);
    if requests.len() > MAX_PORTS {
        return bind_all(requests);
    }
    requests
        .iter()
        .zip(taken)
        .map(|(request, port)| port.map_or_else(|| bind(request), Ok))
        .collect()
}

pub fn bind_all(requests: &[PublishRequest]) -> Result<Vec<Port>, Failure> {
    if requests.len() > MAX_PORTS {
        return Err(Failure::new(
            "invalid_request",
            format!("more than {MAX_PORTS} published ports"),
        ));
    }
    requests.iter().map(bind).collect()
}

fn refused(wanted: SocketAddr, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AddrInUse => Failure::new("port_in_use", format!("{wanted} is in use")),
        io::ErrorKind::PermissionDenied => Failure::new(
            "forbidden",
            format!("{wanted} needs privileges this user does not have"),
        ),
        io::ErrorKind::AddrNotAvailable => Failure::new(
            "invalid_request",
            format!("{wanted} is no address of this host"),
        ),
        _ => Failure::io(&format!("listening on {wanted}"), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(host_port: u16, binding: Binding) -> PublishRequest {
        PublishRequest {
            host_address: "127.0.0.1".parse().unwrap(),
            host_port,
            guest_port: 80,
            binding,
        }
    }

    #[test]
    fn a_required_port_that_is_taken_fails_and_a_preferred_one_moves() {
        let first = bind(&request(0, Binding::Required)).ok().unwrap();
        let taken = first.published.host_port;
        assert_eq!(
            bind(&request(taken, Binding::Required)).err().unwrap().code,
            "port_in_use"
        );
        let moved = bind(&request(taken, Binding::Preferred)).ok().unwrap();
        assert_ne!(moved.published.host_port, taken);
        assert_ne!(moved.published.host_port, 0);
    }
}
