use super::{Answer, Step};
use crate::access::path_error;
use crate::{files, sys};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use viv_protocol::{Fields, Value, WireError};

/// Entries in one answer: with names and links of the usual length they are well within a frame.
const MOST: usize = 200;
/// Bytes after which an answer is full.
const FULL: usize = 32 * 1024;
/// Bytes that the rest of an entry may take.
const OVERHEAD: usize = 128;

pub fn step(fields: &Fields<'_>) -> Result<Step, WireError> {
    let path = fields.text("path")?.to_owned();
    let after = fields.text_if("after")?.map(str::to_owned);
    Ok(Box::new(move |root| list(root, &path, after.as_deref())))
}

/// The first names, in the order of their bytes, that come after `after`; whatever the directory's size, only these are kept.
fn list(root: BorrowedFd<'_>, path: &str, after: Option<&str>) -> Answer {
    let page = open(root, path)
        .and_then(|directory| page(&directory, after).map(|page| (directory, page)))
        .map_err(|error| path_error(path, &error));
    let (directory, (names, mut more)) = page?;
    let mut entries = Vec::new();
    let mut bytes = 0;
    for (text, name) in names {
        if bytes > FULL {
            more = true;
            break;
        }
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let found = sys::open_beneath(directory.as_fd(), Path::new(&name), flags, 0)
            .and_then(|file| sys::stat_at(file.as_raw_fd(), c"").map(|about| (file, about)))
            .and_then(|(file, about)| files::describe(file.as_fd(), &about));
        // Removed since it was listed.
        let Ok(described) = found else { continue };
        bytes += text.len() + OVERHEAD;
        for (key, value) in &described {
            if let ("link", Value::Text(link)) = (*key, value) {
                bytes += link.len();
            }
        }
        let mut fields = vec![("name", Value::from(text))];
        fields.extend(described);
        entries.push(Value::map(fields));
    }
    Ok(Value::map(vec![
        ("entries", Value::Array(entries)),
        ("more", more.into()),
    ]))
}

fn open(root: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    sys::open_in_root(root, Path::new(path), libc::O_RDONLY | libc::O_DIRECTORY, 0)
}

type Names = BTreeMap<String, OsString>;

fn page(directory: &OwnedFd, after: Option<&str>) -> io::Result<(Names, bool)> {
    let mut names = Names::new();
    let mut more = false;
    for entry in std::fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
        let name = entry?.file_name();
        let text = name.to_string_lossy().into_owned();
        if after.is_some_and(|after| text.as_str() <= after) {
            continue;
        }
        names.insert(text, name);
        if names.len() > MOST {
            names.pop_last();
            more = true;
        }
    }
    Ok((names, more))
}
