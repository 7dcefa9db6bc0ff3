//! File descriptors: what the shim inherits, and the three numbers it keeps for the VMM.

use crate::failure::Failure;
use std::io;
use std::os::fd::RawFd;

/// The VMM finds its serial console here.
pub const CONSOLE: RawFd = 3;
/// The VMM finds the other end of its log port here.
pub const LOG: RawFd = 4;
/// The VMM finds the device state it is to load here, where there is one.
pub const INCOMING: RawFd = 5;

/// Where the way to an embryo is, for a shim that has one (docs/zygote.md).
pub const TO_VMM: RawFd = 6;

/// Closes everything inherited beyond stdio and reserves the VMM's numbers, so that no file of the shim's
/// (nor the pipe on which std reports a failed exec) ever lies where the child will put its own.
pub fn sanitise(has_embryo: bool) -> Result<(), Failure> {
    let beyond = if has_embryo { TO_VMM + 1 } else { INCOMING + 1 };
    // SAFETY: runs before anything else has opened a descriptor.
    unsafe {
        if libc::syscall(libc::SYS_close_range, beyond as u32, u32::MAX, 0u32) != 0 {
            for fd in beyond..1024 {
                libc::close(fd);
            }
        }
        for fd in CONSOLE..=INCOMING {
            libc::close(fd);
        }
        // 0, 1 and 2 too, where the launcher gave none.
        let mut last = -1;
        while last < INCOMING {
            last = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
            if last < 0 {
                return Err(Failure::io("/dev/null", &io::Error::last_os_error()));
            }
        }
        libc::umask(0o177);
    }
    Ok(())
}

/// The VMM's numbers stay reserved across an exec.
pub fn leave_reserved() {
    for fd in CONSOLE..=INCOMING {
        // SAFETY: fcntl on what `sanitise` has opened.
        unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
    }
}

/// Tells the launcher that nothing more will come. `detached`: nor is anything heard from it any more.
pub fn let_go_of_launcher(detached: bool) {
    // SAFETY: plain system calls on descriptors this process owns.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        libc::dup2(null, 1);
        if detached {
            libc::dup2(null, 0);
        }
        libc::close(null);
    }
}

/// Of one that was left open for us across an exec.
pub fn close_on_exec(fd: RawFd) {
    // SAFETY: fcntl on an open descriptor.
    unsafe {
        libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
    }
}

pub fn set_nonblocking(fd: RawFd) {
    // SAFETY: fcntl on an open descriptor.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK);
    }
}
