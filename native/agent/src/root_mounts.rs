//! What a workload finds mounted in its root. Runs in the new process, inside its new mount namespace.

use crate::{boot_id, generation, sys};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

const SAFE: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;

/// (name, major, minor), all mode 0666.
const NODES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
];

/// Makes `root` the root of the calling process. `init`: also what an init system expects to be given.
pub fn enter(root: &str, init: bool) -> io::Result<()> {
    sys::mount("", Path::new("/"), "", libc::MS_REC | libc::MS_PRIVATE, "")?;
    // SAFETY: no pointers.
    sys::check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) })?;
    // pivot_root refuses an initramfs as the old root; moving the new root over it is what the kernel's documents advise.
    let (boot_id, generation) = (boot_id::open()?, generation::open()?);
    std::env::set_current_dir(root)?;
    sys::mount(".", Path::new("/"), "", libc::MS_MOVE, "")?;
    std::os::unix::fs::chroot(".")?;
    std::env::set_current_dir("/")?;
    api_file_systems()?;
    if let Some(boot_id) = boot_id {
        boot_id::show(&boot_id)?;
    }
    devices(init)?;
    if init {
        mount_at(
            "/run",
            "tmpfs",
            libc::MS_NOSUID | libc::MS_NODEV,
            "mode=0755",
        )?;
        fs::create_dir_all("/run/lock")?;
    }
    // An image in which there is no place for it works without.
    let _unseen_is_fine = generation.map(|directory| generation::show(&directory));
    Ok(())
}

fn mount_at(target: &str, kind: &str, flags: libc::c_ulong, data: &str) -> io::Result<()> {
    let target = Path::new(target);
    if !target.is_dir() {
        fs::create_dir_all(target)?;
    }
    sys::mount(kind, target, kind, flags, data)
}

fn api_file_systems() -> io::Result<()> {
    mount_at("/proc", "proc", SAFE, "")?;
    mount_at("/sys", "sysfs", SAFE, "")?;
    mount_at("/sys/fs/cgroup", "cgroup2", SAFE, "nsdelegate")
}

fn devices(init: bool) -> io::Result<()> {
    mount_at("/dev", "tmpfs", libc::MS_NOSUID, "mode=0755,size=65536k")?;
    for (name, major, minor) in NODES {
        node(&format!("/dev/{name}"), 0o666, libc::makedev(major, minor))?;
    }
    for (name, target) in LINKS {
        symlink(target, format!("/dev/{name}"))?;
    }
    mount_at(
        "/dev/pts",
        "devpts",
        libc::MS_NOSUID | libc::MS_NOEXEC,
        "newinstance,mode=0620,ptmxmode=0666,gid=5",
    )?;
    mount_at(
        "/dev/shm",
        "tmpfs",
        libc::MS_NOSUID | libc::MS_NODEV,
        "mode=1777",
    )?;
    if init {
        node("/dev/console", 0o600, libc::makedev(5, 1))?;
    }
    match mount_at("/dev/mqueue", "mqueue", SAFE, "") {
        // A kernel without POSIX queues has none to offer.
        Err(error) if error.raw_os_error() != Some(libc::ENODEV) => Err(error),
        _ => Ok(()),
    }
}

fn node(path: &str, mode: u32, device: libc::dev_t) -> io::Result<()> {
    let path = sys::c_path(Path::new(path))?;
    // SAFETY: a live string. The mask would take bits from the mode, hence the second call.
    unsafe {
        sys::check(libc::mknod(path.as_ptr(), libc::S_IFCHR | mode, device))?;
        sys::check(libc::chmod(path.as_ptr(), mode))?;
    }
    Ok(())
}
