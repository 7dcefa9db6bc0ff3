//! Programs of the image that want to hear that their machine has become another one.

use crate::sys;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// In the root of the workload.
pub const DIRECTORY: &str = "/etc/vivarium/identity.d";

/// Names of the executables there, in order. What can't be run, and what is hidden, is no hook.
pub fn list(root: BorrowedFd<'_>) -> io::Result<Vec<String>> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let directory = match sys::open_in_root(root, Path::new(DIRECTORY), flags, 0) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => {
            return Ok(Vec::new())
        }
        other => other?,
    };
    let entries = fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') && is_executable(root, name))
        .collect();
    names.sort();
    Ok(names)
}

fn is_executable(root: BorrowedFd<'_>, name: &str) -> bool {
    let path = format!("{DIRECTORY}/{name}");
    let found = sys::open_in_root(root, Path::new(&path), libc::O_PATH, 0).map(File::from);
    found
        .and_then(|file| file.metadata())
        .is_ok_and(|about| about.is_file() && about.mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn executables_are_hooks_in_the_order_of_their_names() {
        let root = std::env::temp_dir().join(format!("viv-agent-hooks-{}", std::process::id()));
        let directory = root.join("etc/vivarium/identity.d");
        fs::create_dir_all(directory.join("a-directory")).expect("directory");
        for (name, mode) in [
            ("20-b", 0o755),
            ("10-a", 0o700),
            ("README", 0o644),
            (".swp", 0o755),
        ] {
            fs::write(directory.join(name), "").expect("file");
            fs::set_permissions(directory.join(name), fs::Permissions::from_mode(mode))
                .expect("mode");
        }
        std::os::unix::fs::symlink("/etc/vivarium/identity.d/10-a", directory.join("30-link"))
            .expect("link");
        let at = File::open(&root).expect("open");
        let found = list(at.as_fd()).expect("listed");
        fs::remove_dir_all(&root).expect("cleaned up");
        assert_eq!(found, ["10-a", "20-b", "30-link"]);
        let none = File::open("/proc").expect("open");
        assert!(list(none.as_fd()).expect("none").is_empty());
    }
}
