//! The small steps of unpacking: names that are safe, files that are new, errors that say what they were.

use crate::access::guest_error;
use crate::sys;
use crate::tar::{Reader, Source, TarError};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use viv_protocol::{Code, WireError};

pub fn archive_error(error: TarError) -> WireError {
    let code = if error == TarError::Cancelled {
        Code::Cancelled
    } else {
        Code::ArchiveInvalid
    };
    WireError::new(code, error.to_string())
}

pub fn hostile(name: &Path, why: &str) -> WireError {
    WireError::new(
        Code::ArchiveHostile,
        format!("the entry {} {why}", name.display()),
    )
}

/// The name without `.` parts; empty for the directory itself.
pub fn safe_name(bytes: &[u8]) -> Result<PathBuf, WireError> {
    let name = Path::new(OsStr::from_bytes(bytes));
    let mut safe = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => safe.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err(hostile(name, "has .. in its name")),
            Component::RootDir | Component::Prefix(_) => {
                return Err(hostile(name, "has an absolute name"))
            }
        }
    }
    if bytes.contains(&0) {
        return Err(hostile(name, "has a zero byte in its name"));
    }
    Ok(safe)
}

pub enum Failed {
    Errno(io::Error),
    Told(WireError),
}

impl Failed {
    pub fn into_wire(self, name: &Path) -> WireError {
        match self {
            Failed::Told(error) => error,
            Failed::Errno(error) if error.raw_os_error() == Some(libc::EXDEV) => hostile(
                name,
                "passes through a link that leads out of the destination",
            ),
            Failed::Errno(error) => guest_error(&name.display().to_string(), &error),
        }
    }
}

pub fn times((seconds, nanos): (i64, u32)) -> [libc::timespec; 2] {
    [libc::timespec {
        tv_sec: seconds,
        tv_nsec: i64::from(nanos),
    }; 2]
}

/// A name beside `last` that nothing else uses.
pub fn spare_name(last: &CString) -> CString {
    let kept = last.as_bytes();
    let mut name = b".viv-new-".to_vec();
    name.extend_from_slice(&kept[..kept.len().min(200)]);
    CString::new(name).unwrap_or_else(|_| c".viv-new-".into())
}

pub fn create(parent: &OwnedFd, name: &CString) -> io::Result<File> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    sys::open_beneath(
        parent.as_fd(),
        Path::new(OsStr::from_bytes(name.as_bytes())),
        flags,
        0o600,
    )
    .map(File::from)
}

pub fn unlink(parent: &OwnedFd, name: &CString) {
    // SAFETY: a live string. It is there only when an earlier copy was cut off.
    unsafe { libc::unlinkat(parent.as_raw_fd(), name.as_ptr(), 0) };
}

pub fn rename(parent: &OwnedFd, from: &CString, to: &CString) -> io::Result<()> {
    // SAFETY: two live strings.
    sys::check(unsafe {
        libc::renameat(
            parent.as_raw_fd(),
            from.as_ptr(),
            parent.as_raw_fd(),
            to.as_ptr(),
        )
    })
    .map(drop)
}

/// Files from this size on are given it before they are filled.
const SIZE_FIRST: u64 = 256 * 1024;

/// Writes the present entry's content, of so many bytes as its header says.
pub fn fill(file: &File, size: u64, reader: &mut Reader<impl Source>) -> Result<(), Failed> {
    if size >= SIZE_FIRST {
        // Ext4 journals the inode for every page by which a file grows. No block is taken by this; where the size is beyond
        // what there can be, the writes or the archive's end will say so.
        let _only_faster = file.set_len(size);
    }
    loop {
        let chunk = reader
            .content()
            .map_err(|error| Failed::Told(archive_error(error)))?;
        if chunk.is_empty() {
            return Ok(());
        }
        let count = match sys::write(file.as_raw_fd(), chunk) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(Failed::Errno(error)),
        };
        reader.took(count);
    }
}
