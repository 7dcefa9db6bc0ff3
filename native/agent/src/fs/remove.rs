use super::{parent_of, step_error, Answer, Step};
use crate::sys;
use std::collections::VecDeque;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use viv_protocol::{Code, Fields, Value, WireError};

/// Directories inside each other that are gone through: each holds a descriptor.
const DEEPEST: usize = 400;

pub fn step(fields: &Fields<'_>) -> Result<Step, WireError> {
    let path = fields.text("path")?.to_owned();
    let recursive = fields.flag_if("recursive")?.unwrap_or(false);
    Ok(Box::new(move |root| remove(root, &path, recursive)))
}

fn remove(root: BorrowedFd<'_>, path: &str, recursive: bool) -> Answer {
    let (parent, name) = parent_of(root, path)?;
    let about =
        sys::stat_at(parent.as_raw_fd(), &name).map_err(|error| step_error(path, &error))?;
    let mut removed = 0;
    if recursive && is_directory(&about) {
        empty(&parent, &name, &about, &mut removed).map_err(|error| {
            match error.raw_os_error() {
                Some(libc::ELOOP) => WireError::new(
                    Code::GuestError,
                    format!("{path}: more than {DEEPEST} directories inside each other"),
                ),
                _ => step_error(path, &error),
            }
        })?;
    }
    unlink(parent.as_fd(), &name, is_directory(&about))
        .map_err(|error| step_error(path, &error))?;
    removed += 1;
    Ok(Value::map(vec![("removed", removed.into())]))
}

fn is_directory(about: &libc::stat) -> bool {
    about.st_mode & libc::S_IFMT == libc::S_IFDIR
}

/// A directory that is being emptied.
struct Level {
    directory: OwnedFd,
    name: CString,
    left: VecDeque<CString>,
}

/// Everything below a directory goes. What is mounted there stays: its mount point is then in the way, and told of.
fn empty(parent: &OwnedFd, name: &CStr, about: &libc::stat, removed: &mut u64) -> io::Result<()> {
    let mut levels = vec![open(parent.as_fd(), name)?];
    while let Some(level) = levels.last_mut() {
        let Some(next) = level.left.pop_front() else {
            let done = levels.pop();
            if let (Some(done), Some(above)) = (done, levels.last()) {
                unlink(above.directory.as_fd(), &done.name, true)?;
                *removed += 1;
            }
            continue;
        };
        let found = match sys::stat_at(level.directory.as_raw_fd(), &next) {
            Ok(found) => found,
            // Somebody else was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if !is_directory(&found) {
            unlink(level.directory.as_fd(), &next, false)?;
            *removed += 1;
            continue;
        }
        if found.st_dev != about.st_dev {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        let inner = open(level.directory.as_fd(), &next)?;
        if levels.len() >= DEEPEST {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        levels.push(inner);
    }
    Ok(())
}

fn open(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<Level> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let directory = sys::open_beneath(
        parent,
        Path::new(OsStr::from_bytes(name.to_bytes())),
        flags,
        0,
    )?;
    let mut left = VecDeque::new();
    for entry in std::fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
        left.push_back(CString::new(entry?.file_name().into_vec())?);
    }
    Ok(Level {
        directory,
        name: name.to_owned(),
        left,
    })
}

fn unlink(parent: BorrowedFd<'_>, name: &CStr, directory: bool) -> io::Result<()> {
    let flags = if directory { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: a live string.
    sys::check(unsafe { libc::unlinkat(parent.as_raw_fd(), name.as_ptr(), flags) }).map(drop)
}
