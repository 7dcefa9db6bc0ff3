//! Single steps on the files of a root, each on a thread that may wait for the disk. Every path is resolved inside that root:
//! neither `..` nor a symbolic link leads out of it, and what a last component names is never followed.

mod attributes;
mod list;
mod make;
mod read;
mod remove;
mod rename;
#[cfg(test)]
mod tests;
pub mod watch;

use crate::access::{guest_error, path_error};
use crate::sys;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use viv_protocol::{Code, Fields, Value, WireError};

type Answer = Result<Value, WireError>;

/// What is to be done, once its parameters have been read.
pub type Step = Box<dyn FnOnce(BorrowedFd<'_>) -> Answer + Send>;

/// The step of that name; none where there is no such method.
pub fn step(method: &str, fields: &Fields<'_>) -> Option<Result<Step, WireError>> {
    Some(match method {
        "fs.list" => list::step(fields),
        "fs.read" => read::step(fields),
        "fs.mkdir" => make::step(fields),
        "fs.remove" => remove::step(fields),
        "fs.rename" => rename::step(fields),
        "fs.attributes" => attributes::step(fields),
        _ => return None,
    })
}

pub fn run(root: &Arc<OwnedFd>, step: Step) -> Answer {
    step(root.as_fd())
}

fn nothing() -> Answer {
    Ok(Value::Map(Vec::new()))
}

/// The directory that holds what a path names, and its name there.
fn parent_of(root: BorrowedFd<'_>, path: &str) -> Result<(OwnedFd, CString), WireError> {
    let trimmed = path.trim_end_matches('/');
    let (parent, name) = match trimmed.rsplit_once('/') {
        Some((parent, name)) => (if parent.is_empty() { "/" } else { parent }, name),
        None => (".", trimmed),
    };
    if matches!(name, "" | "." | "..") {
        let message = format!("{path} does not name an entry of a directory");
        return Err(WireError::new(Code::InvalidRequest, message));
    }
    let directory = sys::open_in_root(root, Path::new(parent), libc::O_PATH | libc::O_DIRECTORY, 0)
        .map_err(|error| path_error(path, &error))?;
    let name = CString::new(name).map_err(|_| {
        WireError::new(
            Code::InvalidRequest,
            format!("{path:?} has a zero byte in it"),
        )
    })?;
    Ok((directory, name))
}

/// As `path_error`, and what is in the way is a `conflict`.
fn step_error(path: &str, error: &io::Error) -> WireError {
    match error.raw_os_error() {
        Some(libc::EEXIST | libc::ENOTEMPTY | libc::EBUSY) => {
            WireError::new(Code::Conflict, format!("{path}: {error}"))
                .with_errno(error.raw_os_error())
        }
        Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => path_error(path, error),
        _ => guest_error(path, error),
    }
}
