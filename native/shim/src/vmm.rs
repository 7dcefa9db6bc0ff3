//! The VMM as a child process: spawning it and telling how it ended.

use crate::descriptors::{CONSOLE, INCOMING, LOG};
use crate::embryo::Embryo;
use crate::failure::Failure;
use crate::identity::Identity;
use crate::launch::Launch;
use serde_json::{json, Map, Value};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Descriptors for which the VMM has room from its start: QEMU with two disks and a card has 60 to 80.
const MANY: RawFd = 256;

/// The shim's ends of everything the VMM writes to.
pub struct Streams {
    pub console: UnixStream,
    pub log: UnixStream,
    /// Its stdout and stderr.
    pub output: File,
}

pub struct Vmm {
    pub identity: Identity,
    pub streams: Streams,
}

/// Makes the embryo the VMM, or starts one where there is none.
pub fn start(launch: &Launch, embryo: Option<Embryo>) -> Result<Vmm, Failure> {
    let failed = |what: &'static str| move |error: io::Error| Failure::io(what, &error);
    let (console, vmm_console) = UnixStream::pair().map_err(failed("socketpair"))?;
    let (log, vmm_log) = UnixStream::pair().map_err(failed("socketpair"))?;
    let (output, vmm_output) = pipe().map_err(failed("pipe"))?;
    let incoming = launch.incoming.as_deref().map(open_incoming).transpose()?;
    let argv: Vec<String> = launch
        .argv
        .iter()
        .map(|argument| with_descriptors(argument))
        .collect();
    let mut numbered = vec![vmm_console.as_raw_fd(), vmm_log.as_raw_fd()];
    numbered.extend(incoming.as_ref().map(AsRawFd::as_raw_fd));
    let pid = match embryo {
        Some(embryo) => {
            let pid = embryo.pid;
            embryo
                .order(&argv, launch, vmm_output.as_raw_fd(), &numbered)
                .map_err(failed("the VMM that was to be"))?;
            pid
        }
        None => spawn(&argv, launch, vmm_output, &numbered)?,
    };
    let identity = Identity::of(pid).map_err(|error| {
        kill_group(pid);
        Failure::io("/proc of the VMM", &error)
    })?;
    Ok(Vmm {
        identity,
        streams: Streams {
            console,
            log,
            output,
        },
    })
}

fn spawn(
    argv: &[String],
    launch: &Launch,
    output: OwnedFd,
    numbered: &[RawFd],
) -> Result<i32, Failure> {
    let mut command = Command::new(&argv[0]);
    command
        .args(&argv[1..])
        .env_clear()
        .envs(&launch.env)
        .stdin(Stdio::null());
    let copy = output.try_clone().map_err(|e| Failure::io("dup", &e))?;
    command.stderr(Stdio::from(copy));
    command.stdout(Stdio::from(output));
    let places: Vec<(RawFd, RawFd)> = numbered.iter().copied().zip(CONSOLE..=INCOMING).collect();
    let parent = std::process::id() as i32;
    // SAFETY: only async-signal-safe calls between fork and exec. All other descriptors are close-on-exec.
    unsafe {
        command.pre_exec(move || become_vmm(parent, &places));
    }
    let child = command
        .spawn()
        .map_err(|error| not_started(&argv[0], &error))?;
    Ok(child.id() as i32)
}

/// In the child: a session of its own, gone when the shim is, no signal blocked, and its descriptors where it looks for them.
fn become_vmm(parent: i32, places: &[(RawFd, RawFd)]) -> io::Result<()> {
    // SAFETY: system calls on plain values.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        if libc::setsid() < 0
            || libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0
            || places.iter().any(|(from, to)| libc::dup2(*from, *to) < 0)
        {
            return Err(io::Error::last_os_error());
        }
        // A table of 64 descriptors is too small for the VMM, and to enlarge that of a process with threads takes the kernel 20 ms, in which
        // it waits for all of its processors. This one has no threads yet. One that may have no more goes without.
        let _room_is_a_favour = libc::fcntl(places[0].1, libc::F_DUPFD_CLOEXEC, MANY - 1);
        // The shim may have died before the death signal was asked for.
        if libc::getppid() != parent {
            libc::_exit(1);
        }
    }
    Ok(())
}

fn with_descriptors(argument: &str) -> String {
    argument
        .replace("{fd:console}", &CONSOLE.to_string())
        .replace("{fd:log}", &LOG.to_string())
        .replace("{fd:incoming}", &INCOMING.to_string())
}

fn open_incoming(path: &Path) -> Result<File, Failure> {
    let file = File::open(path).map_err(|error| Failure::saved_state(path, &error))?;
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        _ => Err(Failure::damaged(path, "it is no file")),
    }
}

fn not_started(program: &str, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => "vmm_missing",
        _ => "vmm_failed",
    };
    Failure::new(code, format!("{program} cannot be started: {error}"))
}

fn pipe() -> io::Result<(File, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: pipe2 fills the array; both descriptors are then owned here.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((File::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

/// The VMM leads a session, so its process group has its pid. It is our child and not yet reaped: the pid is its own.
pub fn kill_group(pid: i32) {
    // SAFETY: plain system calls.
    unsafe {
        libc::kill(-pid, libc::SIGKILL);
        libc::kill(pid, libc::SIGKILL);
    }
}

/// What `waitpid` said, as `{"code":0}` or `{"signal":"SIGKILL"}`.
pub fn exit_fields(status: i32) -> Map<String, Value> {
    let fields = if libc::WIFSIGNALED(status) {
        json!({"signal": signal_name(libc::WTERMSIG(status))})
    } else {
        json!({"code": libc::WEXITSTATUS(status)})
    };
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn signal_name(number: i32) -> String {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
        "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
        "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    match usize::try_from(number - 1)
        .ok()
        .and_then(|index| NAMES.get(index))
    {
        Some(name) => format!("SIG{name}"),
        None => format!("SIG{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses_are_told_apart() {
        assert_eq!(Value::Object(exit_fields(7 << 8)), json!({"code": 7}));
        assert_eq!(Value::Object(exit_fields(9)), json!({"signal": "SIGKILL"}));
        assert_eq!(
            Value::Object(exit_fields(11 | 0x80)),
            json!({"signal": "SIGSEGV"})
        );
        assert_eq!(signal_name(40), "SIG40");
    }

    #[test]
    fn descriptor_numbers_are_put_in() {
        assert_eq!(with_descriptors("socket,fd={fd:console}"), "socket,fd=3");
        assert_eq!(with_descriptors("{fd:log}"), "4");
        assert_eq!(with_descriptors("fd:{fd:incoming}"), "fd:5");
    }
}
