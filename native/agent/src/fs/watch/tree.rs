use super::changes::{Changes, Kind};
use crate::sys;
use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

/// Directories that one watch looks at.
pub const MOST_DIRECTORIES: usize = 8192;
/// Of the fixed part of an event.
const HEAD: usize = std::mem::size_of::<libc::inotify_event>();
const BUFFER: usize = 32 * 1024;
const MASK: u32 = libc::IN_CREATE
    | libc::IN_DELETE
    | libc::IN_MODIFY
    | libc::IN_ATTRIB
    | libc::IN_MOVED_FROM
    | libc::IN_MOVED_TO
    | libc::IN_DELETE_SELF
    | libc::IN_MOVE_SELF;

/// What is watched: a file, a directory, or a directory and all below it.
pub struct Tree {
    inotify: OwnedFd,
    root: OwnedFd,
    /// No descriptor of what is watched: with one open it would never be told to be gone.
    top: String,
    recursive: bool,
    /// Paths from the top, by the kernel's number of the watch.
    names: HashMap<i32, String>,
}

/// One event of the kernel's.
struct Event {
    watch: i32,
    mask: u32,
    cookie: u32,
    name: String,
}

impl Tree {
    pub fn open(root: &OwnedFd, path: &str, recursive: bool) -> io::Result<Tree> {
        let top = sys::open_in_root(root.as_fd(), Path::new(path), libc::O_PATH, 0)?;
        // SAFETY: no pointers; the descriptor is new and ours.
        let inotify = unsafe {
            let flags = libc::IN_CLOEXEC | libc::IN_NONBLOCK;
            OwnedFd::from_raw_fd(sys::check(libc::inotify_init1(flags))?)
        };
        let about = sys::stat_at(top.as_raw_fd(), c"")?;
        let directory = about.st_mode & libc::S_IFMT == libc::S_IFDIR;
        drop(top);
        let mut tree = Tree {
            inotify,
            root: root.try_clone()?,
            top: path.to_owned(),
            recursive: recursive && directory,
            names: HashMap::new(),
        };
        tree.add(String::new(), None)?;
        Ok(tree)
    }

    pub fn fd(&self) -> i32 {
        self.inotify.as_raw_fd()
    }

    /// Watches a directory and, where that is wanted, all below it. What is in it by then is told of as created where it came only now.
    fn add(&mut self, name: String, mut came: Option<&mut Changes>) -> io::Result<()> {
        let mut waiting = vec![name];
        while let Some(name) = waiting.pop() {
            let Some(directory) = self.watch(&name)? else {
                continue;
            };
            if !self.recursive {
                continue;
            }
            for entry in std::fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
                let entry = entry?;
                let path = join(&name, &entry.file_name().to_string_lossy());
                if let Some(changes) = came.as_deref_mut() {
                    changes.add(Kind::Created, &path);
                }
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    waiting.push(path);
                }
            }
        }
        Ok(())
    }

    /// None where it has gone meanwhile.
    fn watch(&mut self, name: &str) -> io::Result<Option<OwnedFd>> {
        if self.names.len() >= MOST_DIRECTORIES {
            return Err(io::Error::from_raw_os_error(libc::E2BIG));
        }
        let (path, flags) = if name.is_empty() {
            (self.top.clone(), libc::O_PATH)
        } else {
            let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
            (format!("{}/{name}", self.top), flags)
        };
        let opened = sys::open_in_root(self.root.as_fd(), Path::new(&path), flags, 0);
        let directory = match opened {
            Ok(directory) => directory,
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)
                ) =>
            {
                return Ok(None)
            }
            Err(error) => return Err(error),
        };
        // By this name it is what was opened and nothing else, whatever has been put in its place.
        let path = CString::new(format!("/proc/self/fd/{}", directory.as_raw_fd()))?;
        // SAFETY: a live string.
        let number = sys::check(unsafe {
            libc::inotify_add_watch(self.inotify.as_raw_fd(), path.as_ptr(), MASK)
        })?;
        self.names.insert(number, name.to_owned());
        Ok(Some(directory))
    }

    /// Takes what the kernel has; false once what is watched is gone.
    pub fn read(&mut self, changes: &mut Changes) -> io::Result<bool> {
        let mut buffer = vec![0u8; BUFFER];
        let count = match sys::read(self.inotify.as_raw_fd(), &mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        for event in events(&buffer[..count]) {
            if event.mask & libc::IN_Q_OVERFLOW != 0 {
                changes.lost = true;
                continue;
            }
            if event.mask & libc::IN_IGNORED != 0 {
                let gone = self.names.remove(&event.watch);
                if gone.is_some_and(|name| name.is_empty()) {
                    return Ok(false);
                }
                continue;
            }
            self.take(&event, changes);
        }
        Ok(true)
    }

    fn take(&mut self, event: &Event, changes: &mut Changes) {
        let Some(within) = self.names.get(&event.watch).cloned() else {
            return;
        };
        let itself = event.name.is_empty();
        let path = if itself {
            within
        } else {
            join(&within, &event.name)
        };
        let of_self = libc::IN_DELETE_SELF | libc::IN_MOVE_SELF;
        if event.mask & of_self != 0 {
            // One below is told of by the directory it is in.
            if path.is_empty() {
                changes.add(Kind::Removed, &path);
                if event.mask & libc::IN_MOVE_SELF != 0 {
                    self.forget("");
                }
            }
            return;
        }
        let directory = event.mask & libc::IN_ISDIR != 0;
        // A directory's own attributes come a second time, from the directory itself.
        if directory && itself && !path.is_empty() {
            return;
        }
        if event.mask & libc::IN_MOVED_FROM != 0 {
            changes.moved_from(event.cookie, &path);
            return;
        }
        if event.mask & libc::IN_MOVED_TO != 0 {
            let from = changes.moved_to(event.cookie, &path);
            if directory && self.recursive {
                match from {
                    Some(from) => self.rename(&from, &path),
                    None => self.came(path, changes),
                }
            }
            return;
        }
        let kind = match event.mask {
            mask if mask & libc::IN_CREATE != 0 => Kind::Created,
            mask if mask & libc::IN_DELETE != 0 => Kind::Removed,
            mask if mask & libc::IN_MODIFY != 0 => Kind::Modified,
            _ => Kind::Attributes,
        };
        changes.add(kind, &path);
        if kind == Kind::Created && directory && self.recursive {
            self.came(path, changes);
        }
    }

    fn came(&mut self, path: String, changes: &mut Changes) {
        if self.add(path, Some(changes)).is_err() {
            changes.lost = true;
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        let below = format!("{from}/");
        for name in self.names.values_mut() {
            if name == from {
                to.clone_into(name);
            } else if let Some(rest) = name.strip_prefix(&below) {
                *name = join(to, rest);
            }
        }
    }

    /// The kernel says `IN_IGNORED` for it, and so it ends.
    fn forget(&self, name: &str) {
        for (number, known) in &self.names {
            if known == name {
                // SAFETY: no pointers.
                let _gone_is_fine =
                    unsafe { libc::inotify_rm_watch(self.inotify.as_raw_fd(), *number) };
            }
        }
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        return name.to_owned();
    }
    format!("{directory}/{name}")
}

fn events(mut bytes: &[u8]) -> Vec<Event> {
    let mut found = Vec::new();
    let word = |bytes: &[u8], at: usize| {
        let slice = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
        u32::from_ne_bytes(slice.unwrap_or_default())
    };
    while bytes.len() >= HEAD {
        let length = word(bytes, 12) as usize;
        let name = bytes.get(HEAD..HEAD + length).unwrap_or(&[]);
        let name = name.split(|byte| *byte == 0).next().unwrap_or(&[]);
        found.push(Event {
            watch: word(bytes, 0) as i32,
            mask: word(bytes, 4),
            cookie: word(bytes, 8),
            name: String::from_utf8_lossy(name).into_owned(),
        });
        bytes = bytes.get(HEAD + length..).unwrap_or(&[]);
    }
    found
}
