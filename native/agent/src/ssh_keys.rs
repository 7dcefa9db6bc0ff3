//! The host keys of an sshd in the image: what tells one machine from another. Copies must not share them.

use crate::sys;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

fn is_host_key(name: &str) -> bool {
    let private = name
        .strip_suffix("-cert.pub")
        .or_else(|| name.strip_suffix(".pub"))
        .unwrap_or(name);
    private.starts_with("ssh_host_") && private.ends_with("_key")
}

fn open_directory(root: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    match sys::open_in_root(root, Path::new("etc/ssh"), flags, 0) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => {
            Ok(None)
        }
        other => other.map(Some),
    }
}

fn names(directory: &OwnedFd) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        if is_host_key(&name) {
            found.push(name);
        }
    }
    Ok(found)
}

/// Whether there are any.
pub fn any(root: BorrowedFd<'_>) -> io::Result<bool> {
    let directory = open_directory(root)?;
    directory.map_or(Ok(false), |directory| Ok(!names(&directory)?.is_empty()))
}

/// Removes private keys, their public halves and certificates. Answers how many private ones there were.
pub fn remove(root: BorrowedFd<'_>) -> io::Result<usize> {
    let Some(directory) = open_directory(root)? else {
        return Ok(0);
    };
    let mut removed = 0;
    for name in names(&directory)? {
        let path = sys::c_path(Path::new(&name))?;
        // SAFETY: a live string; a link is removed, not followed.
        sys::check(unsafe { libc::unlinkat(directory.as_raw_fd(), path.as_ptr(), 0) })?;
        removed += usize::from(name.ends_with("_key"));
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn host_keys_go_and_everything_else_stays() {
        let root = std::env::temp_dir().join(format!("viv-agent-ssh-{}", std::process::id()));
        fs::create_dir_all(root.join("etc/ssh")).expect("directory");
        for name in [
            "ssh_host_rsa_key",
            "ssh_host_rsa_key.pub",
            "ssh_host_rsa_key-cert.pub",
            "ssh_host_ed25519_key",
            "sshd_config",
            "my_key",
        ] {
            fs::write(root.join("etc/ssh").join(name), "x").expect("file");
        }
        let at = fs::File::open(&root).expect("open");
        let before = any(at.as_fd()).expect("looked");
        let removed = remove(at.as_fd()).expect("removed");
        let after = any(at.as_fd()).expect("looked again");
        let again = remove(at.as_fd()).expect("nothing left");
        let mut left: Vec<_> = fs::read_dir(root.join("etc/ssh"))
            .expect("list")
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        left.sort();
        fs::remove_dir_all(&root).expect("cleaned up");
        assert_eq!((before, removed, after, again), (true, 2, false, 0));
        assert_eq!(left, ["my_key", "sshd_config"]);
    }

    #[test]
    fn an_image_without_an_sshd_has_none() {
        let at = fs::File::open("/proc").expect("open");
        assert_eq!(remove(at.as_fd()).expect("none"), 0);
        assert!(!any(at.as_fd()).expect("none"));
    }
}
