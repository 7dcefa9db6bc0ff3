//! Published ports on their way between processes: the same listeners all the time, so that nobody who connects is refused.

use crate::descriptors::close_on_exec;
use crate::failure::Failure;
use crate::launch::Published;
use crate::lines::MAX_LINE;
use crate::ports::Port;
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Whoever holds the ports of a directory without a VMM listens here.
pub const SOCKET: &str = "wake.sock";
/// The kernel passes 253 descriptors at once.
const MOST: usize = 253;
/// The holder answers at once or never.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a holder is told when it begins: its argument.
#[derive(Serialize, Deserialize)]
pub struct Holding {
    /// How long a connection waits for somebody who listens to be told of it.
    pub hold_ms: u64,
    pub detached: bool,
    pub ports: Vec<Published>,
    /// Listeners for them, in the same order, where they are bound already; and of [`SOCKET`].
    #[serde(default)]
    pub inherited: Option<(Vec<RawFd>, RawFd)>,
}

/// Leaves the ports to a process of their own. Its socket is there when this returns.
pub fn leave(ports: &[Port], hold_ms: u64) -> io::Result<()> {
    if ports.is_empty() || ports.len() > MOST {
        return Ok(());
    }
    let _ = std::fs::remove_file(SOCKET);
    let socket = UnixListener::bind(SOCKET)?;
    let fds: Vec<RawFd> = ports.iter().map(|port| port.listener.as_raw_fd()).collect();
    let holding = Holding {
        hold_ms,
        detached: true,
        ports: ports.iter().map(|port| port.published).collect(),
        inherited: Some((fds.clone(), socket.as_raw_fd())),
    };
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["hold", ".", &serde_json::to_string(&holding)?])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let kept: Vec<RawFd> = fds.into_iter().chain([socket.as_raw_fd()]).collect();
    // SAFETY: only async-signal-safe calls between fork and exec.
    unsafe {
        command.pre_exec(move || {
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
            if libc::setsid() < 0 {
                return Err(io::Error::last_os_error());
            }
            for fd in &kept {
                if libc::fcntl(*fd, libc::F_SETFD, 0) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    match command.spawn() {
        Ok(_) => Ok(()),
        Err(error) => {
            let _ = std::fs::remove_file(SOCKET);
            Err(error)
        }
    }
}

/// Takes the ports over from whoever holds them here; none where nobody does.
pub fn take() -> Vec<Port> {
    let Ok(stream) = UnixStream::connect(SOCKET) else {
        return Vec::new();
    };
    receive(&stream).unwrap_or_default()
}

fn receive(stream: &UnixStream) -> io::Result<Vec<Port>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    (&*stream).write_all(b"{\"id\":1,\"method\":\"take\"}\n")?;
    let mut text = vec![0u8; MAX_LINE];
    let (read, fds) = receive_message(stream, &mut text)?;
    let answer: Value = serde_json::from_slice(&text[..read])?;
    let published: Vec<Published> = serde_json::from_value(answer["result"]["ports"].clone())?;
    Ok(published
        .into_iter()
        .zip(fds)
        .map(|(published, fd)| Port {
            published,
            listener: TcpListener::from(fd),
        })
        .collect())
}

/// Sends the listeners along with an answer.
pub fn give(to: &UnixStream, request: u64, ports: &[Port]) -> Result<(), Failure> {
    let published: Vec<Published> = ports.iter().map(|port| port.published).collect();
    let line = format!(
        "{}\n",
        json!({"id": request, "result": {"ports": published}})
    );
    let fds: Vec<RawFd> = ports.iter().map(|port| port.listener.as_raw_fd()).collect();
    send_message(to, line.as_bytes(), &fds).map_err(|error| Failure::io(SOCKET, &error))
}

/// Room for a control message with so many descriptors, aligned as the kernel wants it.
fn control_room(count: usize) -> Vec<u64> {
    // SAFETY: arithmetic only.
    let bytes = unsafe { libc::CMSG_SPACE((count * std::mem::size_of::<RawFd>()) as u32) } as usize;
    vec![0; bytes.div_ceil(8)]
}

fn send_message(to: &UnixStream, bytes: &[u8], fds: &[RawFd]) -> io::Result<()> {
    let mut room = control_room(fds.len());
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: the header and what it points to live until the call is over; the room is large enough for its one message.
    let sent = unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &mut vector;
        header.msg_iovlen = 1;
        let length = std::mem::size_of_val(fds) as u32;
        header.msg_control = room.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(length) as _;
        let message = libc::CMSG_FIRSTHDR(&header);
        (*message).cmsg_level = libc::SOL_SOCKET;
        (*message).cmsg_type = libc::SCM_RIGHTS;
        (*message).cmsg_len = libc::CMSG_LEN(length) as _;
        std::ptr::copy_nonoverlapping(fds.as_ptr(), libc::CMSG_DATA(message).cast(), fds.len());
        libc::sendmsg(to.as_raw_fd(), &header, libc::MSG_NOSIGNAL)
    };
    if sent == bytes.len() as isize {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn receive_message(from: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut room = control_room(MOST);
    let mut vector = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let mut fds = Vec::new();
    // SAFETY: as above; every descriptor that arrives is owned from here on.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &mut vector;
        header.msg_iovlen = 1;
        header.msg_control = room.as_mut_ptr().cast();
        header.msg_controllen = (room.len() * 8) as _;
        let read = libc::recvmsg(from.as_raw_fd(), &mut header, libc::MSG_CMSG_CLOEXEC);
        if read < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut message = libc::CMSG_FIRSTHDR(&header);
        while !message.is_null() {
            if (*message).cmsg_level == libc::SOL_SOCKET && (*message).cmsg_type == libc::SCM_RIGHTS
            {
                let data = libc::CMSG_DATA(message).cast::<RawFd>();
                let bytes = (*message).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                for index in 0..bytes / std::mem::size_of::<RawFd>() {
                    fds.push(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
                }
            }
            message = libc::CMSG_NXTHDR(&header, message);
        }
        Ok((read as usize, fds))
    }
}

/// The listeners a holder was started with. @see [`Holding::inherited`]
pub fn inherited(ports: &[Published], fds: &[RawFd]) -> Vec<Port> {
    ports
        .iter()
        .zip(fds)
        .map(|(published, fd)| {
            close_on_exec(*fd);
            Port {
                published: *published,
                // SAFETY: whoever started this process left it open for us.
                listener: unsafe { TcpListener::from_raw_fd(*fd) },
            }
        })
        .collect()
}
