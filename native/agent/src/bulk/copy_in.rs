//! `copy.in`: a tar stream becomes files below a directory, and never outside it.

mod placing;

use super::inbox::{Inbox, InboxReader};
use crate::access::{guest_error, path_error};
use crate::sys;
use crate::tar::{Entry, Kind, Reader, Source};
use placing::{
    archive_error, create, fill, hostile, rename, safe_name, spare_name, times, unlink, Failed,
};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use viv_protocol::{Value, WireError};

type Done<T> = Result<T, WireError>;

/// Directories whose times are set once everything is in them; beyond that their times are those of the copy.
const MOST_DIRECTORIES: usize = 100_000;

pub fn run(
    root: &OwnedFd,
    path: &str,
    owner: Option<(u32, u32)>,
    inbox: Arc<Inbox>,
    consumed: impl FnMut(u64),
) -> Done<Value> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let directory = sys::open_in_root(root.as_fd(), Path::new(path), flags, 0)
        .map_err(|error| path_error(path, &error))?;
    let (bytes, entries) = unpack(directory, owner, InboxReader::new(inbox, consumed))?;
    Ok(Value::map(vec![
        ("bytes", bytes.into()),
        ("entries", entries.into()),
    ]))
}

/// Answers the bytes of files and the number of entries.
pub fn unpack(
    directory: OwnedFd,
    owner: Option<(u32, u32)>,
    source: impl Source,
) -> Done<(u64, u64)> {
    let mut reader = Reader::new(source);
    let mut unpacker = Unpacker {
        directory,
        owner,
        parent: None,
        times: Vec::new(),
    };
    let (mut bytes, mut entries) = (0, 0);
    while let Some(entry) = reader.next().map_err(archive_error)? {
        entries += 1;
        bytes += entry.size;
        unpacker.entry(&entry, &mut reader)?;
    }
    unpacker.finish()?;
    // Whatever follows the end mark is padding; the stream itself still has to end.
    loop {
        let count = reader.source.chunk().map_err(archive_error)?.len();
        if count == 0 {
            return Ok((bytes, entries));
        }
        reader.source.consume(count);
    }
}

struct Unpacker {
    directory: OwnedFd,
    owner: Option<(u32, u32)>,
    /// The directory of the entry before; most entries are beside each other.
    parent: Option<(PathBuf, Arc<OwnedFd>)>,
    /// Directories and their times, to be set at the end.
    times: Vec<(PathBuf, (i64, u32))>,
}

impl Unpacker {
    fn entry(&mut self, entry: &Entry, reader: &mut Reader<impl Source>) -> Done<()> {
        let name = safe_name(&entry.name)?;
        let Some(last) = name.file_name() else {
            return Ok(());
        };
        let parent = self.parent_of(&name)?;
        let last = sys::c_path(Path::new(last)).map_err(|error| self.failed(&name, &error))?;
        if entry.kind == Kind::Directory {
            self.parent = None;
            return self.make_directory(&parent, &name, &last, entry);
        }
        if entry.kind == Kind::File {
            return self.write_file(&parent, &name, &last, entry, reader);
        }
        let made = self.replace(&parent, &last, |at| self.make(&parent, at, entry));
        made.map_err(|error| error.into_wire(&name))?;
        if entry.kind == Kind::HardLink {
            return Ok(());
        }
        self.describe(parent.as_raw_fd(), &last, entry)
            .map_err(|error| self.failed(&name, &error))
    }

    fn failed(&self, name: &Path, error: &io::Error) -> WireError {
        match error.raw_os_error() {
            // What RESOLVE_BENEATH says of a way out.
            Some(libc::EXDEV) => hostile(
                name,
                "passes through a link that leads out of the destination",
            ),
            _ => guest_error(&name.display().to_string(), error),
        }
    }

    fn parent_of(&mut self, name: &Path) -> Done<Arc<OwnedFd>> {
        let parent = name.parent().unwrap_or(Path::new(""));
        if let Some((known, fd)) = &self.parent {
            if known == parent {
                return Ok(Arc::clone(fd));
            }
        }
        let fd = Arc::new(
            self.open_parent(parent)
                .map_err(|error| self.failed(name, &error))?,
        );
        self.parent = Some((parent.to_owned(), Arc::clone(&fd)));
        Ok(fd)
    }

    /// Makes what is missing of it, as an archive need not list its directories.
    fn open_parent(&self, parent: &Path) -> io::Result<OwnedFd> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        match sys::open_beneath(self.directory.as_fd(), parent, flags, 0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let mut at = self.directory.try_clone()?;
        let mut so_far = PathBuf::new();
        for part in parent.components() {
            so_far.push(part);
            // The walk starts over at each part, so that links that stay inside keep working.
            let name = sys::c_path(Path::new(part.as_os_str()))?;
            // SAFETY: a live string.
            let made = sys::check(unsafe { libc::mkdirat(at.as_raw_fd(), name.as_ptr(), 0o755) });
            match made {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            at = sys::open_beneath(self.directory.as_fd(), &so_far, flags, 0)?;
        }
        sys::open_beneath(self.directory.as_fd(), parent, flags, 0)
    }

    fn make_directory(
        &mut self,
        parent: &OwnedFd,
        name: &Path,
        last: &CString,
        entry: &Entry,
    ) -> Done<()> {
        // A link to a directory that stays inside is one already: `/lib` must not become a directory of its own.
        let exists = sys::open_beneath(
            self.directory.as_fd(),
            name,
            libc::O_PATH | libc::O_DIRECTORY,
            0,
        )
        .is_ok();
        let is_link = sys::stat_at(parent.as_raw_fd(), last)
            .is_ok_and(|about| about.st_mode & libc::S_IFMT == libc::S_IFLNK);
        if exists && is_link {
            return Ok(());
        }
        if !exists {
            // SAFETY: a live string.
            let make = |at: &CString| {
                sys::check(unsafe { libc::mkdirat(parent.as_raw_fd(), at.as_ptr(), 0o700) })
                    .map(drop)
                    .map_err(Failed::Errno)
            };
            self.replace(parent, last, make)
                .map_err(|error| error.into_wire(name))?;
        }
        if self.times.len() < MOST_DIRECTORIES {
            self.times.push((name.to_owned(), entry.mtime));
        }
        self.describe(parent.as_raw_fd(), last, entry)
            .map_err(|error| self.failed(name, &error))
    }

    /// Makes something under its name. What is there already is replaced in one step, or stays when making fails.
    fn replace(
        &self,
        parent: &OwnedFd,
        last: &CString,
        make: impl Fn(&CString) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        match make(last) {
            Err(Failed::Errno(error)) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other,
        }
        let spare = spare_name(last);
        unlink(parent, &spare);
        make(&spare)?;
        rename(parent, &spare, last)
            .inspect_err(|_| unlink(parent, &spare))
            .map_err(Failed::Errno)
    }

    fn make(&self, parent: &OwnedFd, at: &CString, entry: &Entry) -> Result<(), Failed> {
        let fd = parent.as_raw_fd();
        let special = |kind: libc::mode_t| {
            let device = libc::makedev(entry.device.0, entry.device.1);
            // SAFETY: a live string.
            unsafe { libc::mknodat(fd, at.as_ptr(), kind | 0o600, device) }
        };
        let made = match entry.kind {
            Kind::Symlink => {
                let target = CString::new(entry.link.clone())
                    .map_err(|_| Failed::Errno(io::Error::from_raw_os_error(libc::EINVAL)))?;
                // SAFETY: two live strings.
                unsafe { libc::symlinkat(target.as_ptr(), fd, at.as_ptr()) }
            }
            Kind::HardLink => return self.hard_link(parent, at, entry),
            Kind::CharDevice => special(libc::S_IFCHR),
            Kind::BlockDevice => special(libc::S_IFBLK),
            Kind::Fifo => special(libc::S_IFIFO),
            Kind::File | Kind::Directory => 0,
        };
        sys::check(made).map(drop).map_err(Failed::Errno)
    }

    fn hard_link(&self, parent: &OwnedFd, at: &CString, entry: &Entry) -> Result<(), Failed> {
        let target = safe_name(&entry.link).map_err(Failed::Told)?;
        let (Some(last), above) = (target.file_name(), target.parent().unwrap_or(Path::new("")))
        else {
            return Err(Failed::Told(hostile(&target, "is a hard link to nothing")));
        };
        let above = if above.as_os_str().is_empty() {
            Path::new(".")
        } else {
            above
        };
        let from = sys::open_beneath(
            self.directory.as_fd(),
            above,
            libc::O_PATH | libc::O_DIRECTORY,
            0,
        )
        .map_err(Failed::Errno)?;
        let last = sys::c_path(Path::new(last)).map_err(Failed::Errno)?;
        // SAFETY: two live strings. Without AT_SYMLINK_FOLLOW a link is linked, not what it points at.
        let linked = unsafe {
            libc::linkat(
                from.as_raw_fd(),
                last.as_ptr(),
                parent.as_raw_fd(),
                at.as_ptr(),
                0,
            )
        };
        sys::check(linked).map(drop).map_err(Failed::Errno)
    }

    fn write_file(
        &self,
        parent: &OwnedFd,
        name: &Path,
        last: &CString,
        entry: &Entry,
        reader: &mut Reader<impl Source>,
    ) -> Done<()> {
        let failed = |error: io::Error| self.failed(name, &error);
        let (file, written_as) = match create(parent, last) {
            Ok(file) => (file, last.clone()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let spare = spare_name(last);
                unlink(parent, &spare);
                (create(parent, &spare).map_err(failed)?, spare)
            }
            Err(error) => return Err(failed(error)),
        };
        let filled = fill(&file, entry.size, reader).map_err(|error| error.into_wire(name));
        let placed = filled.and_then(|()| {
            self.describe_file(&file, entry).map_err(failed)?;
            if written_as == *last {
                return Ok(());
            }
            rename(parent, &written_as, last).map_err(failed)
        });
        placed.inspect_err(|_| unlink(parent, &written_as))
    }

    fn ids(&self, entry: &Entry) -> (u32, u32) {
        self.owner.unwrap_or((entry.uid, entry.gid))
    }

    fn describe_file(&self, file: &File, entry: &Entry) -> io::Result<()> {
        let (uid, gid) = self.ids(entry);
        let times = times(entry.mtime);
        // SAFETY: two times. The mode comes after the owner, because that takes the setuid bit away.
        unsafe {
            sys::check(libc::fchown(file.as_raw_fd(), uid, gid))?;
            sys::check(libc::fchmod(file.as_raw_fd(), entry.mode))?;
            sys::check(libc::futimens(file.as_raw_fd(), times.as_ptr()))?;
        }
        Ok(())
    }

    fn describe(&self, parent: i32, last: &CString, entry: &Entry) -> io::Result<()> {
        let (uid, gid) = self.ids(entry);
        let times = times(entry.mtime);
        // SAFETY: live strings and two times. Nothing here follows a link: only what is none has its mode set.
        unsafe {
            sys::check(libc::fchownat(
                parent,
                last.as_ptr(),
                uid,
                gid,
                libc::AT_SYMLINK_NOFOLLOW,
            ))?;
            if entry.kind != Kind::Symlink {
                sys::check(libc::fchmodat(parent, last.as_ptr(), entry.mode, 0))?;
            }
            sys::check(libc::utimensat(
                parent,
                last.as_ptr(),
                times.as_ptr(),
                libc::AT_SYMLINK_NOFOLLOW,
            ))?;
        }
        Ok(())
    }

    /// The times of directories, innermost first.
    fn finish(&mut self) -> Done<()> {
        for (name, mtime) in std::mem::take(&mut self.times).into_iter().rev() {
            let parent = self.parent_of(&name)?;
            let last = name
                .file_name()
                .map(Path::new)
                .map(sys::c_path)
                .transpose()
                .map_err(|error| self.failed(&name, &error))?;
            if let Some(last) = last {
                // SAFETY: a live string and two times. A later entry may have replaced the directory; then this is not its time.
                unsafe {
                    libc::utimensat(
                        parent.as_raw_fd(),
                        last.as_ptr(),
                        times(mtime).as_ptr(),
                        libc::AT_SYMLINK_NOFOLLOW,
                    )
                };
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
