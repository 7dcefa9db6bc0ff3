//! System calls, with their failures told.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;

/// Minus one becomes the error.
pub fn done(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

pub fn own_program() -> Option<CString> {
    let path = std::fs::read_link("/proc/self/exe").ok()?;
    CString::new(path.into_os_string().into_vec()).ok()
}

pub fn dev_null() -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is new, and owned at once.
    unsafe {
        let fd = done(libc::open(
            c"/dev/null".as_ptr(),
            libc::O_RDWR | libc::O_CLOEXEC,
        ))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// `to` becomes another number of `from`, and is kept across an exec.
pub fn put(from: &impl AsRawFd, to: RawFd) -> io::Result<()> {
    // SAFETY: system calls on plain values.
    unsafe {
        if from.as_raw_fd() == to {
            return done(libc::fcntl(to, libc::F_SETFD, 0)).map(|_| ());
        }
        done(libc::dup2(from.as_raw_fd(), to)).map(|_| ())
    }
}

/// `handler`: of the two that are none.
pub fn signal(number: libc::c_int, handler: libc::sighandler_t) {
    // SAFETY: no handler of ours is ever called.
    unsafe {
        libc::signal(number, handler);
    }
}

/// Field 22 of `/proc/self/stat`: clock ticks after boot.
pub fn own_start_time() -> io::Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    viv_unix::start_time(&stat)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc/self/stat"))
}

/// An environment variable that is not handed on.
pub fn take_variable(name: &CStr) -> Option<CString> {
    // SAFETY: nothing else runs that looks at the environment; what is found is copied before it is removed.
    unsafe {
        let value = libc::getenv(name.as_ptr());
        if value.is_null() {
            return None;
        }
        let value = CStr::from_ptr(value).to_owned();
        libc::unsetenv(name.as_ptr());
        Some(value)
    }
}
