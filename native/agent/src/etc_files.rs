//! The few files of an image that say where it runs. An image in which they can't be written works without them.

use crate::{kmsg, sys};
use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
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

/// Replaces `/etc/NAME` below `root`, whatever it was: a link is not followed.
pub fn write(root: &str, name: &str, text: &str) {
    if let Err(error) = replace(root, name, text) {
        kmsg::note(&format!("/etc/{name} of the image: {error}"));
    }
}

fn replace(root: &str, name: &str, text: &str) -> io::Result<()> {
    let root = File::open(root)?;
    let etc = open_etc(&root)?;
    let (new, old) = (
        sys::c_path(Path::new(&format!(".{name}.viv")))?,
        sys::c_path(Path::new(name))?,
    );
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_NOFOLLOW;
    let file = sys::open_beneath(
        etc.as_fd(),
        Path::new(&format!(".{name}.viv")),
        flags,
        0o644,
    )?;
    File::from(file).write_all(text.as_bytes())?;
    // SAFETY: two live strings.
    let renamed = sys::check(unsafe {
        libc::renameat(etc.as_raw_fd(), new.as_ptr(), etc.as_raw_fd(), old.as_ptr())
    });
    if let Err(error) = renamed {
        // SAFETY: a live string.
        unsafe { libc::unlinkat(etc.as_raw_fd(), new.as_ptr(), 0) };
        return Err(error);
    }
    Ok(())
}

fn open_etc(root: &File) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    match sys::open_in_root(root.as_fd(), Path::new("etc"), flags, 0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // SAFETY: a live string.
            sys::check(unsafe { libc::mkdirat(root.as_raw_fd(), c"etc".as_ptr(), 0o755) })?;
            sys::open_in_root(root.as_fd(), Path::new("etc"), flags, 0)
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
        replace(&root.to_string_lossy(), "hosts", "first").expect("etc is made");
        fs::remove_file(root.join("etc/hosts")).expect("there");
        std::os::unix::fs::symlink(&victim, root.join("etc/hosts")).expect("link");
        replace(&root.to_string_lossy(), "hosts", "second").expect("replaced");
        let seen = (
            fs::read_to_string(&victim).ok(),
            fs::read_to_string(root.join("etc/hosts")).ok(),
        );
        fs::remove_dir_all(&root).expect("cleaned up");
        assert_eq!(seen, (Some("untouched".into()), Some("second".into())));
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
