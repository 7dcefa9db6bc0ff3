//! From `launch.json` to a running VMM, or to nothing at all.

use crate::console::Console;
use crate::control::Control;
use crate::embryo::Embryo;
use crate::failure::Failure;
use crate::files::{self, remove_if_there, write_whole};
use crate::guard::Guard;
use crate::identity::Identity;
use crate::launch::{self, Launch};
use crate::logs::{CappedLog, RotatingLog};
use crate::memory::Memory;
use crate::ports::{self, Port};
use crate::relay::Relay;
use crate::supervisor::{Logs, Supervisor};
use crate::vmm::{self, Vmm};
use serde_json::{json, Value};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

pub const CONTROL_SOCKET: &str = "shim.sock";
pub const CONSOLE_SOCKET: &str = "console.sock";
pub const RECORD: &str = "shim.json";

pub struct Started {
    pub supervisor: Supervisor,
    /// The line the launcher waits for.
    pub announcement: Value,
}

/// Changes into the directory: everything after that is relative, since socket addresses hold 107 bytes only.
pub fn start(dir: &Path, embryo: Option<Embryo>) -> Result<Started, Failure> {
    std::env::set_current_dir(dir).map_err(|e| Failure::io(&dir.display().to_string(), &e))?;
    let lock = take_lock()?;
    let failed = |what: &'static str| move |error: io::Error| Failure::io(what, &error);
    remove_if_there("exit.json").map_err(failed("exit.json"))?;
    let launch = launch::read()?;
    let signals = block_signals().map_err(failed("signalfd"))?;
    let logs = open_logs(&launch).map_err(failed("logs"))?;
    let ports = ports::take_or_bind(&launch.ports)?;
    let started = with_sockets(&launch, embryo, lock, signals, logs, ports);
    if started.is_err() {
        for name in [CONTROL_SOCKET, CONSOLE_SOCKET, RECORD] {
            let _ = remove_if_there(name);
        }
    }
    started
}

fn with_sockets(
    launch: &Launch,
    embryo: Option<Embryo>,
    lock: File,
    signals: OwnedFd,
    logs: Logs,
    ports: Vec<Port>,
) -> Result<Started, Failure> {
    let control_listener = listen(CONTROL_SOCKET)?;
    let console_listener = listen(CONSOLE_SOCKET)?;
    let shim = Identity::of(std::process::id() as i32).map_err(|e| Failure::io("/proc", &e))?;
    let mut record = json!({
        "format": 1,
        "instance_id": launch.instance_id,
        "shim": shim,
        "ports": ports.iter().map(|port| port.published).collect::<Vec<_>>(),
        "launched_at": files::now(),
    });
    write_whole(RECORD, &record).map_err(|e| Failure::io(RECORD, &e))?;
    let Vmm { identity, streams } = vmm::start(launch, embryo)?;
    record["vmm"] = json!(identity);
    if let Err(error) = write_whole(RECORD, &record) {
        vmm::kill_group(identity.pid);
        return Err(Failure::io(RECORD, &error));
    }
    let mut announcement = record.clone();
    announcement["ok"] = json!(true);
    let supervisor = Supervisor {
        vmm: identity,
        streams,
        logs,
        ports,
        signals,
        control_listener,
        console_listener,
        record,
        remove: launch.remove.clone(),
        watch_stdin: !launch.detached,
        control: Control::default(),
        console: Console::default(),
        relay: Relay::new(launch.port_limits),
        held: launch.hold_ports,
        keep_ports: None,
        memory: Memory::default(),
        guard: Guard::default(),
        lock,
    };
    Ok(Started {
        supervisor,
        announcement,
    })
}

/// Held for life, by this process only: the descriptor is not inherited by the VMM.
fn take_lock() -> Result<File, Failure> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open("shim.lock")
        .map_err(|error| Failure::io("shim.lock", &error))?;
    // SAFETY: flock on an open descriptor.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        return Err(Failure::new(
            "conflict",
            "another shim runs in this directory",
        ));
    }
    Ok(file)
}

fn open_logs(launch: &Launch) -> io::Result<Logs> {
    Ok(Logs {
        console: RotatingLog::open("console.log", launch.logs, false)?,
        app: RotatingLog::open("app.log", launch.logs, true)?,
        vmm: CappedLog::open("vmm.log")?,
    })
}

/// A socket left by a shim that was killed is nobody's: the lock is ours.
pub fn listen(name: &str) -> Result<UnixListener, Failure> {
    let failed = |error: io::Error| Failure::io(name, &error);
    remove_if_there(name).map_err(failed)?;
    let listener = UnixListener::bind(name).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// SIGCHLD and SIGTERM are read from a descriptor. Orphans of the VMM become ours, so that they can be reaped.
fn block_signals() -> io::Result<OwnedFd> {
    // SAFETY: plain system calls; the new descriptor is owned at once.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            libc::sigaddset(&mut set, signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}
