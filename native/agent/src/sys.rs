//! The system calls that the standard library has no name for, each with its error as `io::Error`.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// -1 is an error, anything else an answer.
pub fn check<T: Copy + Into<i64>>(answer: T) -> io::Result<T> {
    if answer.into() == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer)
    }
}

/// A path for the kernel; one with a zero byte in it exists nowhere.
pub fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::from_raw_os_error(libc::ENOENT))
}

fn owned(answer: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(answer)?;
    // SAFETY: the kernel has just given us this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub fn mount(
    source: &str,
    target: &Path,
    kind: &str,
    flags: libc::c_ulong,
    data: &str,
) -> io::Result<()> {
    let (source, target) = (c_path(Path::new(source))?, c_path(target)?);
    let (kind, data) = (c_path(Path::new(kind))?, c_path(Path::new(data))?);
    // SAFETY: four strings that live until the call has returned.
    check(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            data.as_ptr().cast(),
        )
    })?;
    Ok(())
}

/// Shows a file or directory at another place, where it can only be read.
pub fn bind_read_only(what: &File, target: &Path) -> io::Result<()> {
    let source = format!("/proc/self/fd/{}", what.as_raw_fd());
    mount(&source, target, "", libc::MS_BIND, "")?;
    let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    mount("", target, "", libc::MS_BIND | libc::MS_REMOUNT | flags, "")
}

pub fn unmount(target: &Path, flags: libc::c_int) -> io::Result<()> {
    let target = c_path(target)?;
    // SAFETY: a string that lives until the call has returned.
    check(unsafe { libc::umount2(target.as_ptr(), flags) })?;
    Ok(())
}

/// Resolves inside `dir` as if it were `/`: neither `..` nor a symbolic link leads out of it.
pub fn open_in_root(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: libc::c_int,
    mode: u32,
) -> io::Result<OwnedFd> {
    open_with(dir, path, flags, mode, libc::RESOLVE_IN_ROOT)
}

/// Resolves below `dir`; a path that would leave it is EXDEV.
pub fn open_beneath(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: libc::c_int,
    mode: u32,
) -> io::Result<OwnedFd> {
    open_with(dir, path, flags, mode, libc::RESOLVE_BENEATH)
}

fn open_with(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: libc::c_int,
    mode: u32,
    resolve: u64,
) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    // SAFETY: `open_how` is plain numbers; the kernel wants unknown fields zero.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.mode = if flags & (libc::O_CREAT | libc::O_TMPFILE) != 0 {
        u64::from(mode)
    } else {
        0
    };
    how.resolve = resolve | libc::RESOLVE_NO_MAGICLINKS;
    loop {
        // SAFETY: a live string and a struct of the size that is told.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                dir.as_raw_fd(),
                path.as_ptr(),
                &how,
                std::mem::size_of_val(&how),
            )
        };
        match owned(answer as libc::c_int) {
            // A rename elsewhere raced with the walk; the kernel asks to try again.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => {}
            other => return other,
        }
    }
}

pub fn socket(
    family: libc::c_int,
    kind: libc::c_int,
    protocol: libc::c_int,
) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { libc::socket(family, kind, protocol) })
}

/// Both ends close on exec: read end first.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both are new and ours.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// A descriptor that is opened once and stays: to open and close one costs a restored guest 1 to 3 ms where code is translated cold.
pub struct Kept(Mutex<Option<Arc<File>>>);

impl Kept {
    pub const fn new() -> Kept {
        Kept(Mutex::new(None))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<File>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, open: impl FnOnce() -> io::Result<File>) -> io::Result<Arc<File>> {
        let mut kept = self.lock();
        if let Some(file) = &*kept {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(open()?);
        *kept = Some(Arc::clone(&file));
        Ok(file)
    }

    /// The next to ask opens another one.
    pub fn forget(&self) {
        *self.lock() = None;
    }
}

pub fn event_fd() -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

pub fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    // SAFETY: no pointers.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

pub fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: a buffer of the length that is told.
    let count = check(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) } as i64)?;
    Ok(count as usize)
}

/// Reads up to `count` bytes behind what is in the buffer, without filling it first.
pub fn read_more(fd: RawFd, buffer: &mut Vec<u8>, count: usize) -> io::Result<usize> {
    buffer.reserve(count);
    let end = buffer.spare_capacity_mut().as_mut_ptr();
    // SAFETY: room for so many bytes was reserved.
    let read = check(unsafe { libc::read(fd, end.cast(), count) } as i64)? as usize;
    // SAFETY: so many bytes were written there.
    unsafe { buffer.set_len(buffer.len() + read) };
    Ok(read)
}

pub fn write(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: a buffer of the length that is told.
    let count = check(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) } as i64)?;
    Ok(count as usize)
}

/// True once the other end of a port is closed. Asks without waiting.
pub fn hung_up(fd: RawFd) -> bool {
    let mut asked = libc::pollfd {
        fd,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one struct, and its number.
    let answer = unsafe { libc::poll(&mut asked, 1, 0) };
    answer == 1 && asked.revents & libc::POLLHUP != 0
}

/// To one process (`pid`), or to a group (`-pgid`).
pub fn kill(pid: libc::pid_t, signal: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::kill(pid, signal) })?;
    Ok(())
}

/// Sets the namespace of this thread's future children, or of the caller.
pub fn set_namespace(fd: RawFd, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::setns(fd, kind) })?;
    Ok(())
}

/// One number through an ioctl by reference, as `EXT4_IOC_RESIZE_FS` and the terminal's want it.
pub fn ioctl_ref<T>(fd: RawFd, request: libc::c_ulong, argument: &mut T) -> io::Result<i32> {
    // SAFETY: the callers pair each request with the struct it is defined with.
    check(unsafe { libc::ioctl(fd, request as _, argument as *mut T) })
}

pub fn stat_fs(fd: RawFd) -> io::Result<libc::statfs> {
    // SAFETY: plain numbers, filled by the kernel.
    let mut answer: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: room for the answer.
    check(unsafe { libc::fstatfs(fd, &mut answer) })?;
    Ok(answer)
}

/// `fstatat` that never follows a link in the last part; an empty `name` is `dir` itself.
pub fn stat_at(dir: RawFd, name: &CStr) -> io::Result<libc::stat> {
    // SAFETY: plain numbers, filled by the kernel.
    let mut answer: libc::stat = unsafe { std::mem::zeroed() };
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH;
    // SAFETY: a live string and room for the answer.
    check(unsafe { libc::fstatat(dir, name.as_ptr(), &mut answer, flags) })?;
    Ok(answer)
}

/// What a symbolic link says; an empty `name` is the link that `dir` (opened with O_PATH) is.
pub fn read_link_at(dir: RawFd, name: &CStr) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: a live string and a buffer of the length that is told.
    let count = check(unsafe {
        libc::readlinkat(dir, name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len())
    } as i64)?;
    buffer.truncate(count as usize);
    Ok(buffer)
}
