//! The few files of an image that say where it runs. An image in which they can't be written works without them.

use crate::{kmsg, sys};
use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

pub fn hosts(hostname: &str, address: Option<Ipv4Addr>) -> String {
    let own = address.unwrap_or(Ipv4Addr::new(127, 0, 1, 1));
    format!(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n{own}\t{hostname}\n"
    )
}

pub fn resolv_conf(servers: &[IpAddr]) -> String {
    servers
        .iter()
        .map(|server| format!("nameserver {server}\n"))
        .collect()
}

/// How a file gets its new text.
#[derive(Clone, Copy)]
pub enum Way {
    /// The file is another one afterwards, and its text is never half there.
    Anew,
    /// For when nobody reads: an identity is told while all that is the user's stands still. To make a file and rename it costs
    /// 30 ms where code is translated cold; one that a crash leaves half written is written again at the next start. What can't be
    /// written to is made anew.
    InPlace,
}

/// Files of an identity that are the machine's own, open: to write to one takes no walk to it.
#[derive(Default)]
pub struct Held(Vec<(&'static str, File, u64)>);

impl Held {
    /// Of those below `root` that can be written to in place.
    pub fn open(root: &str) -> io::Result<Held> {
        let root = File::open(root)?;
        let etc = sys::open_in_root(root.as_fd(), Path::new("etc"), DIRECTORY, 0)?;
        let found = OF_AN_IDENTITY.into_iter().filter_map(|name| {
            let (file, length) = open_own(etc.as_fd(), name).ok().flatten()?;
            Some((name, file, length))
        });
        Ok(Held(found.collect()))
    }

    /// Whether it is held, and now says that.
    fn write(&self, name: &str, text: &str) -> bool {
        let held = self.0.iter().find(|(held, ..)| *held == name);
        held.is_some_and(|(_, file, length)| put_in_place(file, *length, name, text).is_ok())
    }
}

/// Writes `/etc/NAME` below `root`, whatever it was: a link is not followed.
pub fn write(root: &str, name: &str, text: &str, way: Way, held: &Held) {
    if held.write(name, text) {
        return;
    }
    let written = File::open(root).and_then(|root| put(root.as_fd(), "etc", name, text, way));
    if let Err(error) = written {
        kmsg::note(&format!("/etc/{name} of the image: {error}"));
    }
}

const DIRECTORY: libc::c_int = libc::O_PATH | libc::O_DIRECTORY;

/// Whose empty lines nobody minds, up to as many as two names may differ by.
const LISTS: [&str; 2] = ["hosts", "resolv.conf"];
const MOST_FILLED: u64 = 64;

/// What an identity is written to. Empty lines take the place of what is not there.
const OF_AN_IDENTITY: [&str; 4] = ["hostname", "hosts", "machine-id", "resolv.conf"];

/// Makes the files of an identity the machine's own, with what they say, where they are not yet: so that they can be written to in
/// place, and have their blocks.
pub fn make(root: &str) {
    for name in OF_AN_IDENTITY {
        let path = format!("{root}/etc/{name}");
        if std::fs::symlink_metadata(&path).is_ok_and(|about| about.is_symlink()) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let text = if text.is_empty() { "\n" } else { &text };
        write(root, name, text, Way::Anew, &Held::default());
    }
}

/// On the disk, and then written to once more, with what they say: whoever does so next finds a cached page that is mapped, a journal
/// that is open, and knows that they have no attributes that writing takes away.
pub fn touch(root: &str) {
    // SAFETY: no arguments.
    unsafe { libc::sync() };
    for name in OF_AN_IDENTITY {
        let path = format!("{root}/etc/{name}");
        if std::fs::symlink_metadata(&path).is_ok_and(|about| about.is_file()) {
            if let Ok(text) = std::fs::read_to_string(&path) {
                write(root, name, &text, Way::InPlace, &Held::default());
            }
        }
    }
}

/// Writes `NAME` in a directory below `root`, which is made where it is missing. No link leads out of the root.
pub fn put(
    root: BorrowedFd<'_>,
    directory: &str,
    name: &str,
    text: &str,
    way: Way,
) -> io::Result<()> {
    let directory = open_or_make(root, directory)?;
    let written = match way {
        Way::Anew => false,
        Way::InPlace => overwrite(directory.as_fd(), name, text).unwrap_or(false),
    };
    if written {
        return Ok(());
    }
    replace(directory.as_fd(), name, text)
}

/// Whether that is possible: for a file with one name.
fn overwrite(directory: BorrowedFd<'_>, name: &str, text: &str) -> io::Result<bool> {
    match open_own(directory, name)? {
        None => Ok(false),
        Some((file, length)) => put_in_place(&file, length, name, text).map(|()| true),
    }
}

/// To be written to, with the length it has. None where it has other names, or is no file.
fn open_own(directory: BorrowedFd<'_>, name: &str) -> io::Result<Option<(File, u64)>> {
    let flags = libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::from(sys::open_beneath(directory, Path::new(name), flags, 0)?);
    let about = file.metadata()?;
    let own = about.is_file() && about.nlink() == 1;
    Ok(own.then_some((file, about.len())))
}

/// A list that is a little too long is filled up with empty lines, which say nothing in it: to cut a file off takes 800 blocks of the kernel's
/// code, 6 ms where they are translated cold.
fn put_in_place(file: &File, before: u64, name: &str, text: &str) -> io::Result<()> {
    let length = text.len() as u64;
    let more = before.saturating_sub(length);
    if more > MOST_FILLED || (more > 0 && !LISTS.contains(&name)) {
        file.set_len(length)?;
        return file.write_all_at(text.as_bytes(), 0);
    }
    let filled = format!("{text}{}", "\n".repeat(more as usize));
    file.write_all_at(filled.as_bytes(), 0)
}

fn replace(directory: BorrowedFd<'_>, name: &str, text: &str) -> io::Result<()> {
    let fresh = format!(".{name}.viv");
    let (new, old) = (
        sys::c_path(Path::new(&fresh))?,
        sys::c_path(Path::new(name))?,
    );
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_NOFOLLOW;
    let file = sys::open_beneath(directory, Path::new(&fresh), flags, 0o644)?;
    File::from(file).write_all(text.as_bytes())?;
    let at = directory.as_raw_fd();
    // SAFETY: two live strings.
    let renamed = sys::check(unsafe { libc::renameat(at, new.as_ptr(), at, old.as_ptr()) });
    if let Err(error) = renamed {
        // SAFETY: a live string.
        unsafe { libc::unlinkat(at, new.as_ptr(), 0) };
        return Err(error);
    }
    Ok(())
}

fn open_or_make(root: BorrowedFd<'_>, directory: &str) -> io::Result<OwnedFd> {
    match sys::open_in_root(root, Path::new(directory), DIRECTORY, 0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let (parent, name) = match directory.rsplit_once('/') {
                Some((parent, name)) => (open_or_make(root, parent)?, name),
                None => (root.try_clone_to_owned()?, directory),
            };
            let name = sys::c_path(Path::new(name))?;
            // SAFETY: a live string.
            sys::check(unsafe { libc::mkdirat(parent.as_raw_fd(), name.as_ptr(), 0o755) })?;
            sys::open_in_root(root, Path::new(directory), DIRECTORY, 0)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let root = std::env::temp_dir().join(format!("viv-agent-etc-{}", std::process::id()));
        fs::create_dir_all(&root).expect("directory");
        let victim = root.join("victim");
        fs::write(&victim, "untouched").expect("file");
        let at = File::open(&root).expect("open");
        let write = |text: &str, way: Way| put(at.as_fd(), "etc", "hosts", text, way);
        write("first", Way::Anew).expect("etc is made");
        fs::remove_file(root.join("etc/hosts")).expect("there");
        std::os::unix::fs::symlink(&victim, root.join("etc/hosts")).expect("link");
        write("second", Way::InPlace).expect("replaced");
        let told = || fs::read_to_string(root.join("etc/hosts")).ok();
        let mut seen = vec![told()];
        let inode = || fs::metadata(root.join("etc/hosts")).expect("there").ino();
        let before = inode();
        write("3rd", Way::InPlace).expect("written");
        seen.push(told());
        let same = before == inode();
        fs::hard_link(root.join("etc/hosts"), root.join("other")).expect("linked");
        write("fourth", Way::InPlace).expect("replaced");
        seen.push(told());
        let others = [&victim, &root.join("other")].map(|path| fs::read_to_string(path).ok());
        fs::remove_dir_all(&root).expect("cleaned up");
        assert_eq!(
            seen,
            ["second", "3rd\n\n\n", "fourth"].map(|text| Some(text.to_owned()))
        );
        assert_eq!(
            others,
            ["untouched", "3rd\n\n\n"].map(|text| Some(text.to_owned()))
        );
        assert!(same, "a file of our own is written to where it is");
    }

    #[test]
    fn what_is_held_is_written_to_where_it_is_and_nothing_else_is_held() {
        let root = std::env::temp_dir().join(format!("viv-agent-held-{}", std::process::id()));
        let etc = root.join("etc");
        fs::create_dir_all(&etc).expect("directory");
        fs::write(etc.join("hostname"), "a-long-name\n").expect("file");
        fs::write(etc.join("hosts"), "hosts\n").expect("file");
        fs::hard_link(etc.join("hosts"), etc.join("other")).expect("linked");
        std::os::unix::fs::symlink("hosts", etc.join("resolv.conf")).expect("link");
        let held = Held::open(root.to_str().expect("text")).expect("opened");
        let names: Vec<_> = held.0.iter().map(|(name, ..)| *name).collect();
        let inode = || fs::metadata(etc.join("hostname")).expect("there").ino();
        let before = inode();
        let written = ["hostname", "hosts", "machine-id"].map(|name| held.write(name, "short\n"));
        let told = ["hostname", "hosts"].map(|name| fs::read_to_string(etc.join(name)).ok());
        let same = before == inode();
        fs::remove_dir_all(&root).expect("cleaned up");
        assert_eq!((names, written), (vec!["hostname"], [true, false, false]));
        assert_eq!(
            told,
            ["short\n", "hosts\n"].map(|text| Some(text.to_owned()))
        );
        assert!(same);
    }

    #[test]
    fn a_list_is_filled_up_with_empty_lines_and_anything_else_or_much_too_long_is_cut_off() {
        let path = std::env::temp_dir().join(format!("viv-agent-fill-{}", std::process::id()));
        let cases = [(3, "hosts"), (70, "hosts"), (0, "hosts"), (3, "hostname")];
        let told = cases.map(|(more, name)| {
            fs::write(&path, "x".repeat(5 + more)).expect("file");
            let file = File::options().write(true).open(&path).expect("open");
            put_in_place(&file, 5 + more as u64, name, "text\n").expect("written");
            fs::read_to_string(&path).expect("read")
        });
        fs::remove_file(&path).expect("cleaned up");
        assert_eq!(told, ["text\n\n\n\n", "text\n", "text\n", "text\n"]);
    }

    #[test]
    fn directories_are_made_one_below_the_other_and_an_absolute_link_stays_inside() {
        let root = std::env::temp_dir().join(format!("viv-agent-run-{}", std::process::id()));
        fs::create_dir_all(root.join("var")).expect("directory");
        std::os::unix::fs::symlink("/var", root.join("run")).expect("link");
        let at = File::open(&root).expect("open");
        put(at.as_fd(), "run/vivarium", "generation", "7", Way::Anew).expect("made");
        let seen = fs::read_to_string(root.join("var/vivarium/generation")).ok();
        fs::remove_dir_all(&root).expect("cleaned up");
        assert_eq!(seen, Some("7".into()));
    }

    #[test]
    fn the_files_say_what_they_should() {
        assert!(hosts("web", Some(Ipv4Addr::new(10, 1, 2, 2))).ends_with("10.1.2.2\tweb\n"));
        assert_eq!(
            resolv_conf(&[IpAddr::from([10, 1, 2, 3])]),
            "nameserver 10.1.2.3\n"
        );
    }
}
