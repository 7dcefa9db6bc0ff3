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
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Whoever holds the ports of a directory without a VMM listens here.
pub const SOCKET: &str = "wake.sock";
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
    if ports.is_empty() || ports.len() > viv_unix::MOST {
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
    let (read, fds) = viv_unix::receive(stream, &mut text)?;
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
    match viv_unix::send(to, line.as_bytes(), &fds) {
        Ok(sent) if sent == line.len() => Ok(()),
        Ok(_) => Err(Failure::new("vmm_failed", "not all of an answer was sent")),
        Err(error) => Err(Failure::io(SOCKET, &error)),
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
