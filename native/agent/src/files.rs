//! `stat`: what lies at a path inside a root.

use crate::access::path_error;
use crate::sys;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use viv_protocol::{Value, WireError};

pub fn kind(mode: u32) -> &'static str {
    match mode & libc::S_IFMT {
        libc::S_IFREG => "file",
        libc::S_IFDIR => "directory",
        libc::S_IFLNK => "symlink",
        _ => "other",
    }
}

pub fn stat(root: BorrowedFd<'_>, path: &str, follow: bool) -> Result<Value, WireError> {
    inspect(root, path, follow).map_err(|error| path_error(path, &error))
}

fn inspect(root: BorrowedFd<'_>, path: &str, follow: bool) -> io::Result<Value> {
    let flags = libc::O_PATH | if follow { 0 } else { libc::O_NOFOLLOW };
    let file = sys::open_in_root(root, Path::new(path), flags, 0)?;
    let about = sys::stat_at(file.as_raw_fd(), c"")?;
    let mut fields = vec![("path", Value::from(path))];
    fields.extend(describe(file.as_fd(), &about)?);
    Ok(Value::map(fields))
}

/// All there is to say of what an `O_PATH` descriptor is of, but for its name.
pub fn describe(
    file: BorrowedFd<'_>,
    about: &libc::stat,
) -> io::Result<Vec<(&'static str, Value)>> {
    let nanos = i128::from(about.st_mtime) * 1_000_000_000 + i128::from(about.st_mtime_nsec);
    let mut fields = vec![
        ("kind", kind(about.st_mode).into()),
        ("size", Value::Int(i128::from(about.st_size))),
        ("mode", u64::from(about.st_mode & 0o7777).into()),
        ("uid", u64::from(about.st_uid).into()),
        ("gid", u64::from(about.st_gid).into()),
        ("mtimeNanos", Value::Int(nanos)),
    ];
    if about.st_mode & libc::S_IFMT == libc::S_IFLNK {
        let target = sys::read_link_at(file.as_raw_fd(), c"")?;
        fields.push(("link", String::from_utf8_lossy(&target).into_owned().into()));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn links_do_not_lead_out_of_the_root() {
        let root = std::env::temp_dir().join(format!("viv-agent-stat-{}", std::process::id()));
        fs::create_dir_all(root.join("etc")).expect("directory");
        fs::write(root.join("etc/passwd"), "inside").expect("file");
        std::os::unix::fs::symlink("/etc/passwd", root.join("link")).expect("link");
        std::os::unix::fs::symlink("../../../../etc/passwd", root.join("up")).expect("link");
        let open = File::open(&root).expect("open");
        let size = |path: &str, follow: bool| {
            stat(open.as_fd(), path, follow).map(|value| value.get("size").cloned())
        };
        let seen = [
            size("/link", true),
            size("up", true),
            size("../../etc/passwd", true),
        ];
        let link = stat(open.as_fd(), "/link", false);
        let missing = stat(open.as_fd(), "/nope", true);
        fs::remove_dir_all(&root).expect("cleaned up");
        for size in seen {
            assert_eq!(size, Ok(Some(Value::Int(6))));
        }
        let link = link.expect("there");
        assert_eq!(
            (link.get("kind"), link.get("link")),
            (Some(&"symlink".into()), Some(&"/etc/passwd".into()))
        );
        assert_eq!(missing.unwrap_err().code, viv_protocol::Code::PathNotFound);
    }
}
