//! What the new process does before it becomes another program. It shares the agent's memory, and the agent's thread waits.

use super::{Failure, Place, Plan, Program};
use crate::{root_mounts, sys, threads};
use std::ffi::{c_char, c_void, CStr, CString};
use std::io;
use std::os::fd::AsRawFd;

/// The steps a start can fail at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Clone,
    Namespaces,
    Root,
    Streams,
    Directory,
    User,
    Exec,
}

/// Soft limit of open files for workloads, as other container runtimes set it.
const OPEN_FILES: libc::rlim_t = 1024;

pub struct Child<'p, 'a> {
    plan: &'p Plan<'a>,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    pub failure: Option<Failure>,
}

impl<'p, 'a> Child<'p, 'a> {
    pub fn new(plan: &'p Plan<'a>) -> Child<'p, 'a> {
        Child {
            plan,
            argv: pointers(&plan.argv),
            env: pointers(&plan.env),
            failure: None,
        }
    }

    /// Comes back only to tell what failed.
    fn run(&self) -> Result<(), Failure> {
        let at = |step: Step| {
            move |error: io::Error| Failure {
                step,
                errno: error.raw_os_error().unwrap_or(libc::EIO),
            }
        };
        match self.plan.place {
            Place::Agent => {}
            Place::Inside(namespaces) => {
                sys::set_namespace(namespaces.cgroup.as_raw_fd(), libc::CLONE_NEWCGROUP)
                    .map_err(at(Step::Namespaces))?;
                sys::set_namespace(namespaces.mount.as_raw_fd(), libc::CLONE_NEWNS)
                    .map_err(at(Step::Namespaces))?;
            }
            Place::New { root, init } => root_mounts::enter(root, init).map_err(at(Step::Root))?,
        }
        self.streams().map_err(at(Step::Streams))?;
        self.usual_dispositions();
        let directory = self.change_directory();
        self.become_user().map_err(at(Step::User))?;
        // Some directories are closed to root's eyes (FUSE), others to the user's.
        if directory.is_err() {
            self.change_directory().map_err(at(Step::Directory))?;
        }
        Err(Failure {
            step: Step::Exec,
            errno: self.exec(),
        })
    }

    fn streams(&self) -> io::Result<()> {
        // SAFETY: no pointers.
        unsafe {
            sys::check(libc::setsid())?;
            if self.plan.tty {
                sys::check(libc::ioctl(self.plan.stdio[0], libc::TIOCSCTTY, 0))?;
            }
            for (target, fd) in self.plan.stdio.iter().enumerate() {
                sys::check(libc::dup2(*fd, target as i32))?;
            }
        }
        Ok(())
    }

    /// The agent ignores SIGPIPE, blocks SIGCHLD, has a high limit of files and goes first; none of that is the program's.
    fn usual_dispositions(&self) {
        // SAFETY: local structs; this process has its own dispositions, mask and limits.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
            let mut limit: libc::rlimit = std::mem::zeroed();
            if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
                limit.rlim_cur = OPEN_FILES.min(limit.rlim_max);
                libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
            }
            libc::umask(0o022);
            libc::setpriority(libc::PRIO_PROCESS, 0, 0);
        }
        threads::step_back();
    }

    fn change_directory(&self) -> io::Result<()> {
        // SAFETY: a live string.
        sys::check(unsafe { libc::chdir(self.plan.cwd.as_ptr()) }).map(|_| ())
    }

    /// Raw calls: the C library's would change every thread of the agent.
    fn become_user(&self) -> io::Result<()> {
        let plan = self.plan;
        // SAFETY: a list of as many numbers as is told; else no pointers.
        unsafe {
            sys::check(libc::syscall(
                libc::SYS_setgroups,
                plan.groups.len(),
                plan.groups.as_ptr(),
            ))?;
            sys::check(libc::syscall(
                libc::SYS_setresgid,
                plan.gid,
                plan.gid,
                plan.gid,
            ))?;
            sys::check(libc::syscall(
                libc::SYS_setresuid,
                plan.uid,
                plan.uid,
                plan.uid,
            ))?;
        }
        Ok(())
    }

    /// The errno to tell. As the shell does: a file that may not be run outweighs one that isn't there.
    fn exec(&self) -> i32 {
        let mut worst = libc::ENOENT;
        match &self.plan.program {
            Program::Paths(paths) => {
                for path in paths {
                    // To build a new program's memory up and take it down again costs a restored guest 7 ms where code is
                    // translated cold. What can be seen at no cost to be nowhere is not tried.
                    if is_missing(path) {
                        continue;
                    }
                    // SAFETY: two lists that end in null, of strings that outlive the call.
                    unsafe { libc::execve(path.as_ptr(), self.argv.as_ptr(), self.env.as_ptr()) };
                    match io::Error::last_os_error().raw_os_error() {
                        Some(libc::ENOENT | libc::ENOTDIR) => {}
                        Some(libc::EACCES) => worst = libc::EACCES,
                        other => return other.unwrap_or(libc::EIO),
                    }
                }
                worst
            }
            Program::File(file) => {
                // SAFETY: as above; the empty path means the file itself.
                unsafe {
                    let (argv, env) = (self.argv.as_ptr(), self.env.as_ptr());
                    libc::syscall(
                        libc::SYS_execveat,
                        file.as_raw_fd(),
                        c"".as_ptr(),
                        argv,
                        env,
                        libc::AT_EMPTY_PATH,
                    );
                }
                io::Error::last_os_error()
                    .raw_os_error()
                    .unwrap_or(libc::EIO)
            }
        }
    }
}

fn is_missing(path: &CStr) -> bool {
    // SAFETY: a live string and room for the answer.
    let found = unsafe {
        let mut about: libc::stat = std::mem::zeroed();
        libc::stat(path.as_ptr(), &mut about)
    };
    let errno = || io::Error::last_os_error().raw_os_error();
    found != 0 && matches!(errno(), Some(libc::ENOENT | libc::ENOTDIR))
}

fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts
        .iter()
        .map(|text| text.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}

/// Where the new process begins.
pub extern "C" fn main(child: *mut c_void) -> ! {
    // SAFETY: the spawner passes its `Child` and waits until this process has left its memory.
    let child = unsafe { &mut *child.cast::<Child<'_, '_>>() };
    child.failure = child.run().err();
    // SAFETY: ends this process only, without the destructors it shares with the agent.
    unsafe { libc::_exit(127) }
}
