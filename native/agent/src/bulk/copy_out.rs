//! `copy.out`: a file or a tree as a tar stream. What changes while it is read can make a copy stale, never malformed.

use super::outbox::{Cancelled, Piece};
use crate::access::{guest_error, path_error};
use crate::files;
use crate::sys;
use crate::tar::{header, padding, Meta, END};
use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use viv_protocol::{Value, WireError, HEADER_LEN, MAX_PAYLOAD};

/// Files up to this size are read before their header is written: their size may be a lie, as in `/proc`.
const READ_FIRST: u64 = 256 * 1024;
/// Header and payload of a full frame: two writes of the size that the kernel takes at once, and no third of a few bytes.
const FRAME: usize = MAX_PAYLOAD / 2;
/// Files with several names whose first name is remembered.
const MOST_LINKED: usize = 200_000;

enum Stop {
    /// The host has gone.
    Cancelled,
    Failed(WireError),
}

impl From<Cancelled> for Stop {
    fn from(_: Cancelled) -> Stop {
        Stop::Cancelled
    }
}

/// Says everything through `tell`: the answer, the archive, its end; or what went wrong. `empty` gives buffers for frames,
/// with nothing in them but room for the header.
pub fn run(
    root: &OwnedFd,
    path: &str,
    follow: bool,
    empty: impl Fn() -> Vec<u8>,
    tell: impl FnMut(Piece) -> Result<(), Cancelled>,
) {
    let flags = libc::O_PATH | if follow { 0 } else { libc::O_NOFOLLOW };
    let mut packer = Packer {
        buffer: empty(),
        empty,
        tell,
        linked: HashMap::new(),
    };
    let opened = sys::open_in_root(root.as_fd(), Path::new(path), flags, 0)
        .and_then(|file| sys::stat_at(file.as_raw_fd(), c"").map(|about| (file, about)))
        .map_err(|error| path_error(path, &error));
    let (file, about) = match opened {
        Ok(opened) => opened,
        // Whether anybody still hears it makes no difference.
        Err(error) => return drop((packer.tell)(Piece::Answer(Err(error)))),
    };
    let answer = Value::map(vec![
        ("kind", files::kind(about.st_mode).into()),
        ("size", Value::Int(i128::from(about.st_size))),
    ]);
    let name = Path::new(path)
        .file_name()
        .map_or_else(|| b".".to_vec(), |name| name.as_bytes().to_vec());
    let packed = (packer.tell)(Piece::Answer(Ok(answer)))
        .map_err(Stop::from)
        .and_then(|()| packer.archive(file, &name, &about));
    if let Err(Stop::Failed(error)) = packed {
        let _nobody_left = (packer.tell)(Piece::Failed(error));
    }
}

struct Packer<E, T> {
    empty: E,
    tell: T,
    /// The frame being filled, behind room for its header.
    buffer: Vec<u8>,
    /// Device and inode of files with several names, and the first one.
    linked: HashMap<(u64, u64), Vec<u8>>,
}

/// A directory on the way down.
struct Level {
    directory: OwnedFd,
    name: Vec<u8>,
    left: VecDeque<OsString>,
}

fn failed(name: &[u8], error: &io::Error) -> Stop {
    Stop::Failed(guest_error(&String::from_utf8_lossy(name), error))
}

impl<E: Fn() -> Vec<u8>, T: FnMut(Piece) -> Result<(), Cancelled>> Packer<E, T> {
    /// Has nothing open any more by the time that it tells the end: who hears of that may unmount what was copied.
    fn archive(&mut self, top: OwnedFd, name: &[u8], about: &libc::stat) -> Result<(), Stop> {
        let mut levels: Vec<Level> = self.entry(&top, name, about)?.into_iter().collect();
        drop(top);
        while let Some(level) = levels.last_mut() {
            let Some(next) = level.left.pop_front() else {
                levels.pop();
                continue;
            };
            let path = [&level.name[..], b"/", next.as_bytes()].concat();
            let found = open_nothing(level.directory.as_fd(), Path::new(&next));
            let (file, about) = match found
                .and_then(|file| sys::stat_at(file.as_raw_fd(), c"").map(|about| (file, about)))
            {
                Ok(found) => found,
                // Removed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&path, &error)),
            };
            levels.extend(self.entry(&file, &path, &about)?);
        }
        self.put(&END)?;
        self.send()?;
        (self.tell)(Piece::End).map_err(Stop::from)
    }

    /// One entry, known by an O_PATH descriptor; a directory comes back to be gone through.
    fn entry(
        &mut self,
        file: &OwnedFd,
        name: &[u8],
        about: &libc::stat,
    ) -> Result<Option<Level>, Stop> {
        match about.st_mode & libc::S_IFMT {
            libc::S_IFREG => self.file(file, name, about)?,
            libc::S_IFDIR => {
                self.put(&header(&meta(b'5', &[name, b"/"].concat(), b"", 0, about)))?;
                let level =
                    reopen(file, libc::O_DIRECTORY).and_then(|directory| list(directory, name));
                return level.map(Some).map_err(|error| failed(name, &error));
            }
            libc::S_IFLNK => {
                let target = sys::read_link_at(file.as_raw_fd(), c"")
                    .map_err(|error| failed(name, &error))?;
                self.put(&header(&meta(b'2', name, &target, 0, about)))?;
            }
            libc::S_IFCHR => self.put(&header(&meta(b'3', name, b"", 0, about)))?,
            libc::S_IFBLK => self.put(&header(&meta(b'4', name, b"", 0, about)))?,
            libc::S_IFIFO => self.put(&header(&meta(b'6', name, b"", 0, about)))?,
            // A socket means nothing without its process.
            _ => {}
        }
        Ok(None)
    }

    fn file(&mut self, file: &OwnedFd, name: &[u8], about: &libc::stat) -> Result<(), Stop> {
        if about.st_nlink > 1 {
            let key = (about.st_dev, about.st_ino);
            if let Some(first) = self.linked.get(&key) {
                let entry = header(&meta(b'1', name, first, 0, about));
                return self.put(&entry);
            }
            if self.linked.len() < MOST_LINKED {
                self.linked.insert(key, name.to_vec());
            }
        }
        let file = reopen(file, libc::O_NONBLOCK).map_err(|error| failed(name, &error))?;
        let told = u64::try_from(about.st_size).unwrap_or(0);
        if told > READ_FIRST {
            return self.large_file(&file, name, told, about);
        }
        let mut content = Vec::new();
        io::Read::read_to_end(
            &mut io::Read::take(File::from(file), READ_FIRST.max(told)),
            &mut content,
        )
        .map_err(|error| failed(name, &error))?;
        self.put(&header(&meta(b'0', name, b"", content.len() as u64, about)))?;
        self.put(&content)?;
        self.pad(content.len() as u64)
    }

    /// Exactly as many bytes as the header says, whatever becomes of the file.
    fn large_file(
        &mut self,
        file: &OwnedFd,
        name: &[u8],
        size: u64,
        about: &libc::stat,
    ) -> Result<(), Stop> {
        self.put(&header(&meta(b'0', name, b"", size, about)))?;
        let mut left = size;
        while left > 0 {
            let filled = self.buffer.len();
            let room = FRAME.saturating_sub(filled);
            if room == 0 {
                self.send()?;
                continue;
            }
            let count = usize::try_from(left).unwrap_or(room).min(room);
            let read = sys::read_more(file.as_raw_fd(), &mut self.buffer, count)
                .map_err(|error| failed(name, &error))?;
            if read == 0 {
                // It has become shorter: zeros keep the archive whole.
                self.buffer.resize(filled + count, 0);
            }
            left -= if read == 0 { count } else { read } as u64;
        }
        self.pad(size)
    }

    fn pad(&mut self, size: u64) -> Result<(), Stop> {
        self.put(&[0; 512][..padding(size)])
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), Stop> {
        while !bytes.is_empty() {
            let room = FRAME.saturating_sub(self.buffer.len());
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if !bytes.is_empty() {
                self.send()?;
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), Stop> {
        if self.buffer.len() == HEADER_LEN {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, (self.empty)());
        (self.tell)(Piece::Data(full)).map_err(Stop::from)
    }
}

/// A descriptor on the thing itself, link or not, that reads nothing of it.
fn open_nothing(parent: BorrowedFd<'_>, name: &Path) -> io::Result<OwnedFd> {
    sys::open_beneath(parent, name, libc::O_PATH | libc::O_NOFOLLOW, 0)
}

/// Opens what an O_PATH descriptor is for reading: exactly that, whatever its name means by now.
fn reopen(file: &OwnedFd, flags: libc::c_int) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    File::options()
        .read(true)
        .custom_flags(flags | libc::O_NOCTTY)
        .open(path)
        .map(OwnedFd::from)
}

fn list(directory: OwnedFd, name: &[u8]) -> io::Result<Level> {
    let mut left: Vec<OsString> =
        std::fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<_>>()?;
    // The same tree makes the same archive.
    left.sort();
    Ok(Level {
        directory,
        name: name.to_vec(),
        left: left.into(),
    })
}

fn meta<'a>(kind: u8, name: &'a [u8], link: &'a [u8], size: u64, about: &libc::stat) -> Meta<'a> {
    Meta {
        kind,
        name,
        link,
        size,
        mode: about.st_mode & 0o7777,
        uid: about.st_uid,
        gid: about.st_gid,
        mtime: (
            about.st_mtime,
            u32::try_from(about.st_mtime_nsec).unwrap_or(0),
        ),
        device: (libc::major(about.st_rdev), libc::minor(about.st_rdev)),
    }
}

#[cfg(test)]
mod tests;
