//! Starting processes: one `clone3` that shares memory and suspends the caller until the new program runs, as `vfork`
//! does, straight into its cgroup. Nothing is copied, so it costs little even where code is translated cold.

mod child;

pub use child::Step;

use crate::sys;
use child::Child;
use std::ffi::{c_void, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Where the new process lives.
pub enum Place<'a> {
    /// The agent's own root and namespaces.
    Agent,
    /// Existing namespaces of a workload.
    Inside(&'a Namespaces),
    /// New PID, mount and cgroup namespaces, with the merged root made its root. `init`: it will run an init system.
    New { root: &'a str, init: bool },
}

/// What is to run.
pub enum Program {
    /// Tried in this order; from the search of PATH.
    Paths(Vec<CString>),
    /// An open executable file.
    File(OwnedFd),
}

pub struct Plan<'a> {
    pub program: Program,
    pub argv: Vec<CString>,
    pub env: Vec<CString>,
    pub cwd: CString,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub place: Place<'a>,
    /// Directories of cgroups; the second is taken where the first has become an inner node.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// stdin, stdout, stderr.
    pub stdio: [RawFd; 3],
    /// stdin is a terminal that becomes the controlling one.
    pub tty: bool,
}

/// Handles on the namespaces of a workload; they stay usable when its processes have ended, except `pid`.
pub struct Namespaces {
    pub pid: OwnedFd,
    pub mount: OwnedFd,
    pub cgroup: OwnedFd,
}

impl Namespaces {
    pub fn of(pid: libc::pid_t) -> io::Result<Namespaces> {
        let open =
            |kind: &str| std::fs::File::open(format!("/proc/{pid}/ns/{kind}")).map(OwnedFd::from);
        Ok(Namespaces {
            pid: open("pid")?,
            mount: open("mnt")?,
            cgroup: open("cgroup")?,
        })
    }
}

/// Why nothing was started: at which step, and the errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    pub step: Step,
    pub errno: i32,
}

/// `struct clone_args` of linux/sched.h, as of Linux 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// Bytes; the child mounts file systems on it, nothing deeper.
const STACK: usize = 256 * 1024;

/// Starts processes; one per thread that does so, because it owns the stack they begin on.
pub struct Spawner {
    stack: Vec<u128>,
    own_pid_namespace: OwnedFd,
}

impl Spawner {
    pub fn new() -> io::Result<Spawner> {
        let own = std::fs::File::open("/proc/self/ns/pid")?;
        Ok(Spawner {
            stack: vec![0; STACK / 16],
            own_pid_namespace: own.into(),
        })
    }

    /// Answers once the new program runs. The agent is its parent and must reap it.
    pub fn spawn(&mut self, plan: &Plan<'_>) -> Result<libc::pid_t, Failure> {
        let at = |step: Step| {
            move |error: io::Error| Failure {
                step,
                errno: error.raw_os_error().unwrap_or(libc::EIO),
            }
        };
        let Place::Inside(namespaces) = plan.place else {
            return self.clone(plan);
        };
        sys::set_namespace(namespaces.pid.as_raw_fd(), libc::CLONE_NEWPID)
            .map_err(at(Step::Namespaces))?;
        let started = self.clone(plan);
        sys::set_namespace(self.own_pid_namespace.as_raw_fd(), libc::CLONE_NEWPID)
            .map_err(at(Step::Namespaces))?;
        started
    }

    fn clone(&mut self, plan: &Plan<'_>) -> Result<libc::pid_t, Failure> {
        let mut child = Child::new(plan);
        let mut flags = libc::CLONE_VM as u64 | libc::CLONE_VFORK as u64;
        if matches!(plan.place, Place::New { .. }) {
            flags |= libc::CLONE_NEWPID as u64 | libc::CLONE_NEWNS as u64;
        }
        let mut args = CloneArgs {
            flags,
            exit_signal: libc::SIGCHLD as u64,
            stack: self.stack.as_mut_ptr() as u64,
            stack_size: STACK as u64,
            ..CloneArgs::default()
        };
        if let Some(cgroup) = plan.cgroup {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = cgroup.as_raw_fd() as u64;
        }
        // SAFETY: the child runs `child::main` on its own stack and leaves it only by exec or exit; this thread is suspended
        // until then, so everything `child` borrows outlives it.
        let answer = unsafe {
            clone3(
                &args,
                child::main,
                (&mut child as *mut Child<'_, '_>).cast(),
            )
        };
        if answer < 0 {
            return Err(Failure {
                step: Step::Clone,
                errno: -answer as i32,
            });
        }
        let pid = answer as libc::pid_t;
        match child.failure {
            None => Ok(pid),
            Some(failure) => {
                // It has left already; nobody else may hear of it.
                // SAFETY: no pointers.
                unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
                Err(failure)
            }
        }
    }
}

/// The pid, or a negative errno. In the child `entry` is called on the new stack and never comes back.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(
    args: &CloneArgs,
    entry: extern "C" fn(*mut c_void) -> !,
    argument: *mut c_void,
) -> i64 {
    let answer: i64;
    std::arch::asm!(
        "syscall",
        "test rax, rax",
        "jnz 2f",
        "xor ebp, ebp",
        "mov rdi, r8",
        "call r9",
        "ud2",
        "2:",
        inlateout("rax") libc::SYS_clone3 => answer,
        in("rdi") args as *const CloneArgs,
        in("rsi") std::mem::size_of::<CloneArgs>(),
        in("r8") argument,
        in("r9") entry,
        lateout("rcx") _,
        lateout("r11") _,
    );
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    fn text(value: &str) -> CString {
        CString::new(value).expect("no zero")
    }

    fn plan(path: &str, argv: &[&str], cwd: &str, stdio: [RawFd; 3]) -> Plan<'static> {
        Plan {
            program: Program::Paths(vec![text("/nonexistent/dir/x"), text(path)]),
            argv: argv.iter().map(|argument| text(argument)).collect(),
            env: vec![text("A=b")],
            cwd: text(cwd),
            // SAFETY: no pointers.
            uid: unsafe { libc::getuid() },
            // SAFETY: no pointers.
            gid: unsafe { libc::getgid() },
            groups: Vec::new(),
            place: Place::Agent,
            cgroup: None,
            stdio,
            tty: false,
        }
    }

    #[test]
    fn a_program_runs_with_its_own_streams_and_environment() {
        let (reader, writer) = sys::pipe().expect("pipe");
        let fd = writer.as_raw_fd();
        let mut spawner = Spawner::new().expect("spawner");
        let started = spawner.spawn(&plan(
            "/bin/sh",
            &["sh", "-c", "echo $A in $PWD; exit 3"],
            "/usr",
            [fd, fd, fd],
        ));
        let Err(failure) = started.as_ref() else {
            drop(writer);
            let mut buffer = [0; 100];
            let count = sys::read(reader.as_raw_fd(), &mut buffer).expect("read");
            assert_eq!(&buffer[..count], b"b in /usr\n");
            let mut status = 0;
            // SAFETY: room for the status.
            unsafe { libc::waitpid(started.expect("pid"), &mut status, 0) };
            assert_eq!(libc::WEXITSTATUS(status), 3);
            return;
        };
        // setgroups is root's alone; elsewhere there is nothing to see.
        assert_eq!((failure.step, failure.errno), (Step::User, libc::EPERM));
    }

    #[test]
    fn what_fails_is_told_with_its_step() {
        let (_reader, writer) = sys::pipe().expect("pipe");
        let fd = writer.as_raw_fd();
        let mut spawner = Spawner::new().expect("spawner");
        let failure = spawner
            .spawn(&plan("/bin/sh", &["sh"], "/no/such/dir", [fd, fd, fd]))
            .expect_err("no directory");
        assert_eq!(
            (failure.step, failure.errno),
            (Step::Directory, libc::ENOENT)
        );
        // SAFETY: no pointers.
        if unsafe { libc::getuid() } == 0 {
            let failure = spawner
                .spawn(&plan("/no/such", &["x"], "/", [fd, fd, fd]))
                .expect_err("no program");
            assert_eq!((failure.step, failure.errno), (Step::Exec, libc::ENOENT));
            let failure = spawner
                .spawn(&plan("/etc/passwd", &["x"], "/", [fd, fd, fd]))
                .expect_err("no program");
            assert_eq!((failure.step, failure.errno), (Step::Exec, libc::EACCES));
        }
    }
}
