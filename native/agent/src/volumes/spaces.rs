//! Mount namespaces: what is mounted where in each, and how a mount gets in and out of one that lives already.

use crate::{sys, threads};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Bytes: no file system is walked.
const STACK: usize = 256 * 1024;

/// Of linux/mount.h.
const OPEN_TREE_CLONE: libc::c_uint = 1;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;

/// A namespace, by one of its processes. It stays usable when that has ended.
#[derive(Clone)]
pub struct Space {
    mount: Arc<OwnedFd>,
}

/// A mount of its own that is nowhere yet.
pub fn clone_of(path: &Path) -> io::Result<OwnedFd> {
    let path = sys::c_path(path)?;
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint;
    // SAFETY: a live string.
    let answer =
        unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    let fd = sys::check(answer)?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// A directory below `root`, in the namespace that the calling thread is in. What of the path is missing is made; no link in
/// it leads out of `root`.
pub fn directory_below(root: &str, path: &str) -> io::Result<OwnedFd> {
    let root = File::open(root)?;
    make_directories(root.as_fd(), path)
}

/// Where a directory of the agent's own namespace is, behind all links.
pub fn path_of(directory: &OwnedFd) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

/// Mounts it on a directory of the namespace that the calling thread is in.
pub fn place_at(tree: &OwnedFd, at: &OwnedFd) -> io::Result<()> {
    let empty = CString::default();
    // SAFETY: two open descriptors and an empty string.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            empty.as_ptr(),
            at.as_raw_fd(),
            empty.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        )
    };
    sys::check(answer).map(|_| ())
}

fn make_directories(root: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let mut so_far = PathBuf::new();
    let mut at = sys::open_in_root(root, Path::new("."), flags, 0)?;
    for part in Path::new(path).components() {
        let Component::Normal(name) = part else {
            continue;
        };
        so_far.push(name);
        at = match sys::open_in_root(root, &so_far, flags, 0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = sys::c_path(Path::new(name))?;
                // SAFETY: an open directory and a live string.
                sys::check(unsafe { libc::mkdirat(at.as_raw_fd(), name.as_ptr(), 0o755) })?;
                sys::open_in_root(root, &so_far, flags, 0)?
            }
            other => other?,
        };
    }
    Ok(at)
}

impl Space {
    pub fn of(pid: libc::pid_t) -> io::Result<Space> {
        let mount = File::open(format!("/proc/{pid}/ns/mnt"))?;
        Ok(Space {
            mount: Arc::new(mount.into()),
        })
    }

    /// A namespace is entered by a thread that shares its root with nobody, and ends with it.
    fn inside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let mount = Arc::clone(&self.mount);
        let entered = threads::start(STACK, move || {
            // SAFETY: no pointers.
            sys::check(unsafe { libc::unshare(libc::CLONE_FS) })?;
            sys::set_namespace(mount.as_raw_fd(), libc::CLONE_NEWNS)?;
            work()
        })?;
        let lost = |_| io::Error::other("the thread in the namespace is gone");
        entered.join().map_err(lost)?
    }

    pub fn place(&self, tree: OwnedFd, root: &'static str, path: &str) -> io::Result<()> {
        let path = path.to_owned();
        self.inside(move || place_at(&tree, &directory_below(root, &path)?))
    }

    pub fn unmount(&self, path: &str, lazily: bool) -> io::Result<()> {
        let path = PathBuf::from(path);
        let flags = if lazily { libc::MNT_DETACH } else { 0 };
        self.inside(move || sys::unmount(&path, flags))
    }
}

/// Of what is mounted at a path of ours: `major:minor` as `mountinfo` spells it.
pub fn device_of(path: &Path) -> io::Result<String> {
    let device = sys::stat_at(libc::AT_FDCWD, &sys::c_path(path)?)?.st_dev;
    Ok(format!("{}:{}", libc::major(device), libc::minor(device)))
}

struct Line {
    id: String,
    device: String,
    place: String,
}

fn mounts(pid: &str) -> Vec<Line> {
    let table = fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let table = String::from_utf8_lossy(&table);
    table.lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Line> {
    let mut fields = text.split(' ');
    let id = fields.next()?.to_owned();
    let device = fields.nth(1)?.to_owned();
    let place = unescape(fields.nth(1)?);
    Some(Line { id, device, place })
}

/// Spaces and the like are three octal digits behind a backslash.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.get(..3).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match digits {
            Some(code) if byte == b'\\' => {
                bytes.push(code);
                rest = behind.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Every process there is.
pub fn processes() -> Vec<libc::pid_t> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
        .collect()
}

/// Other namespaces in which something of that device is mounted: a process of each, and the places.
pub fn with_device(number: &str) -> Vec<(libc::pid_t, Vec<String>)> {
    let space = |who: &str| fs::read_link(format!("/proc/{who}/ns/mnt")).ok();
    let own = space("self");
    let mut firsts: BTreeMap<PathBuf, libc::pid_t> = BTreeMap::new();
    let mut pids = processes();
    pids.sort_unstable();
    for pid in pids {
        if let Some(space) = space(&pid.to_string()).filter(|space| Some(space) != own.as_ref()) {
            firsts.entry(space).or_insert(pid);
        }
    }
    let places = |pid: libc::pid_t| -> Vec<String> {
        let of_it = mounts(&pid.to_string()).into_iter();
        of_it
            .filter(|line| line.device == number)
            .map(|line| line.place)
            .collect()
    };
    firsts
        .into_values()
        .map(|pid| (pid, places(pid)))
        .filter(|(_, places)| !places.is_empty())
        .collect()
}

/// Ids of all mounts of a device, in whatever namespace.
pub fn ids_of(number: &str) -> Vec<String> {
    let everywhere = with_device(number)
        .into_iter()
        .map(|(pid, _)| pid.to_string());
    everywhere
        .chain(["self".to_owned()])
        .flat_map(|who| mounts(&who))
        .filter(|line| line.device == number)
        .map(|line| line.id)
        .collect()
}

/// Where something of that device is mounted in the agent's own namespace, whatever has become of the links to it.
pub fn here(number: &str) -> Option<PathBuf> {
    let own = mounts("self").into_iter();
    own.filter(|line| line.device == number)
        .map(|line| PathBuf::from(line.place))
        .next_back()
}

/// What is mounted below a directory of ours, in the order in which it was.
pub fn below(directory: &str) -> Vec<String> {
    let prefix = format!("{directory}/");
    mounts("self")
        .into_iter()
        .map(|line| line.place)
        .filter(|place| place.starts_with(&prefix))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_read() {
        let read = line("36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw")
            .expect("whole");
        assert_eq!(
            (read.id.as_str(), read.device.as_str(), read.place.as_str()),
            ("36", "98:0", "/mnt 2")
        );
        assert!(line("36 35").is_none());
    }

    #[test]
    fn what_is_mounted_is_found_by_its_device() {
        let number = device_of(Path::new("/proc")).expect("mounted");
        assert_eq!(here(&number), Some(PathBuf::from("/proc")));
        assert_eq!(here("no:device"), None);
    }

    #[test]
    fn a_backslash_alone_stays() {
        assert_eq!(unescape("a\\b\\"), "a\\b\\");
        assert_eq!(unescape("\\134x"), "\\x");
    }

    #[test]
    fn missing_directories_are_made_and_links_stay_inside() {
        let base = std::env::temp_dir().join(format!("viv-agent-space-{}", std::process::id()));
        fs::create_dir_all(base.join("real")).expect("made");
        std::os::unix::fs::symlink("/real", base.join("link")).expect("linked");
        let root = File::open(&base).expect("there");
        let made = make_directories(root.as_fd(), "/link/deep/er").expect("made");
        assert!(base.join("real/deep/er").is_dir());
        let behind = base.canonicalize().expect("there").join("real/deep/er");
        assert_eq!(path_of(&made).expect("known"), behind);
        fs::remove_dir_all(&base).expect("cleaned up");
    }
}
