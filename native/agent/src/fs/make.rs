use super::attributes::Attributes;
use super::{nothing, parent_of, step_error, Answer, Step};
use crate::sys;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use viv_protocol::{Code, Fields, WireError};

const DEFAULT_MODE: u32 = 0o755;

pub fn step(fields: &Fields<'_>) -> Result<Step, WireError> {
    let path = fields.text("path")?.to_owned();
    let parents = fields.flag_if("parents")?.unwrap_or(false);
    let mut attributes = Attributes::read(fields)?;
    // Whatever the agent's umask is.
    attributes.mode.get_or_insert(DEFAULT_MODE);
    Ok(Box::new(move |root| {
        if parents {
            make_all(root, &path, &attributes)
        } else {
            make(root, &path, &attributes)
        }
    }))
}

fn make(root: BorrowedFd<'_>, path: &str, attributes: &Attributes) -> Answer {
    let (parent, name) = parent_of(root, path)?;
    // SAFETY: a live string.
    sys::check(unsafe { libc::mkdirat(parent.as_raw_fd(), name.as_ptr(), 0o700) })
        .map_err(|error| step_error(path, &error))?;
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let made = sys::open_beneath(
        parent.as_fd(),
        Path::new(OsStr::from_bytes(name.to_bytes())),
        flags,
        0,
    );
    made.and_then(|directory| attributes.set(directory.as_fd()))
        .map_err(|error| step_error(path, &error))?;
    nothing()
}

/// What is missing on the way is made, outermost first; a directory that is there already is left as it is.
fn make_all(root: BorrowedFd<'_>, path: &str, attributes: &Attributes) -> Answer {
    let path = match path.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed,
    };
    let ends = path
        .match_indices('/')
        .map(|(at, _)| at)
        .chain([path.len()]);
    for end in ends {
        let part = &path[..end];
        // `.` and `..` are there or their directory is not, which the next step tells.
        if matches!(part.rsplit('/').next(), None | Some("" | "." | ".."))
            || is_directory(root, part)?
        {
            continue;
        }
        // What is only on the way has the usual mode.
        let usual = Attributes {
            mode: Some(DEFAULT_MODE),
            ..*attributes
        };
        let given = if end == path.len() {
            attributes
        } else {
            &usual
        };
        match make(root, part, given) {
            // Somebody else has made it meanwhile.
            Err(error) if error.code == Code::Conflict && is_directory(root, part)? => {}
            other => drop(other?),
        }
    }
    if is_directory(root, path)? {
        return nothing();
    }
    Err(WireError::new(
        Code::PathNotFound,
        format!("{path}: not a directory"),
    ))
}

fn is_directory(root: BorrowedFd<'_>, path: &str) -> Result<bool, WireError> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    match sys::open_in_root(root, Path::new(path), flags, 0) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(step_error(path, &error)),
    }
}
