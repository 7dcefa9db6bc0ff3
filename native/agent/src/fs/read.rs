use super::{Answer, Step};
use crate::access::{guest_error, path_error};
use crate::{files, sys};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use viv_protocol::{Code, Fields, Value, WireError};

/// Bytes in one answer: half a frame, so that others do not wait long for the port.
const MOST: u64 = 32 * 1024;

pub fn step(fields: &Fields<'_>) -> Result<Step, WireError> {
    let path = fields.text("path")?.to_owned();
    let (offset, length) = (fields.uint("offset")?, fields.uint("length")?.min(MOST));
    Ok(Box::new(move |root| read(root, &path, offset, length)))
}

fn read(root: BorrowedFd<'_>, path: &str, offset: u64, length: u64) -> Answer {
    // Not waiting for the other end of a FIFO.
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = sys::open_in_root(root, Path::new(path), flags, 0)
        .map_err(|error| path_error(path, &error))?;
    let about = sys::stat_at(file.as_raw_fd(), c"").map_err(|error| guest_error(path, &error))?;
    if files::kind(about.st_mode) != "file" {
        return Err(WireError::new(
            Code::InvalidRequest,
            format!("{path} is not a file"),
        ));
    }
    let mut data = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut filled = 0;
    let file = File::from(file);
    while filled < data.len() {
        match file.read_at(&mut data[filled..], offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(guest_error(path, &error)),
        }
    }
    data.truncate(filled);
    Ok(Value::map(vec![
        ("data", Value::Bytes(data)),
        ("size", Value::Int(i128::from(about.st_size))),
    ]))
}
