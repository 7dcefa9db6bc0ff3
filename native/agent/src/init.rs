//! The first process of a workload's PID namespace where the image brings no init of its own.
//!
//! It only buries orphans. The workload's own command and every exec are children of the agent, which signals them
//! itself; when the agent kills this process the kernel ends the whole namespace.

/// `argv[0]` under which the agent runs itself as this.
pub const NAME: &str = "viv-init";

/// First argument with which the agent's file ends at once: the shortest life a process can have. What follows is printed before.
pub const NOTHING: &str = "--nothing";

pub fn run() -> ! {
    // SAFETY: plain system calls on local structs.
    unsafe {
        let mut children: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut children);
        libc::sigaddset(&mut children, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_BLOCK, &children, std::ptr::null_mut());
        loop {
            while libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) > 0 {}
            libc::sigwaitinfo(&children, std::ptr::null_mut());
        }
    }
}
