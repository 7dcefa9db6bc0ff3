//! From the kernel's hands to the first HELLO: the API file systems, the modules, the ports.

use crate::kmsg;
use crate::ports::Ports;
use crate::sys;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Instant;

/// One absolute module path a line, in the order in which they must be loaded.
const MODULE_LIST: &str = "/lib/modules/load.list";

/// Not before they are needed: with its driver in place each start would scan the controller of volumes.
const LATER: [&str; 1] = ["virtio_scsi"];

const NOSUID: libc::c_ulong = libc::MS_NOSUID;
const NODEV: libc::c_ulong = libc::MS_NODEV;
const NOEXEC: libc::c_ulong = libc::MS_NOEXEC;

const MOUNTS: [(&str, &str, libc::c_ulong, &str); 6] = [
    ("/proc", "proc", NOSUID | NODEV | NOEXEC, ""),
    ("/sys", "sysfs", NOSUID | NODEV | NOEXEC, ""),
    ("/dev", "devtmpfs", NOSUID, "mode=0755"),
    (
        "/dev/pts",
        "devpts",
        NOSUID | NOEXEC,
        "mode=0620,ptmxmode=0666,gid=5",
    ),
    ("/run", "tmpfs", NOSUID | NODEV, "mode=0755"),
    ("/sys/fs/cgroup", "cgroup2", NOSUID | NODEV | NOEXEC, ""),
];

/// What wakes an idle machine for nothing here: memory that is put in order ahead of huge pages, twice a second, counters that are
/// brought up to date every second, and neighbours in the network that are to be asked for every five seconds and of which there are none
/// (milliseconds). Whoever wants them can have them back.
const CALM: [(&str, &str); 4] = [
    ("/proc/sys/vm/compaction_proactiveness", "0"),
    ("/proc/sys/vm/stat_interval", "30"),
    (
        "/proc/sys/net/ipv4/neigh/default/interval_probe_time_ms",
        "3600000",
    ),
    (
        "/proc/sys/net/ipv6/neigh/default/interval_probe_time_ms",
        "3600000",
    ),
];

/// Never fails for good: what is missing is logged, and the ports are waited for.
pub fn run() -> Ports {
    let start = Instant::now();
    for (target, kind, flags, data) in MOUNTS {
        if let Err(error) = fs::create_dir_all(target)
            .and_then(|()| sys::mount(kind, Path::new(target), kind, flags, data))
        {
            // The kernel may have mounted devtmpfs itself.
            if error.raw_os_error() != Some(libc::EBUSY) {
                kmsg::fail(&format!("{kind} on {target}: {error}"));
            }
        }
    }
    quiet_standard_streams();
    limits();
    for (setting, value) in CALM {
        // A kernel without it does not do it.
        let _absent_is_fine = fs::write(setting, value);
    }
    let modules = load_modules();
    let ports = Ports::wait();
    kmsg::note(&format!(
        "{modules} modules, waiting for the host after {} ms",
        start.elapsed().as_millis()
    ));
    ports
}

/// Children inherit 0 to 2 until they get their own; the console is for the kernel's log.
fn quiet_standard_streams() {
    if let Ok(null) = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
    {
        for fd in 0..3 {
            // SAFETY: no pointers.
            unsafe { libc::dup2(null.as_raw_fd(), fd) };
        }
    }
}

/// Each session and tunnel holds descriptors here. Workloads get the usual soft limit back when they are spawned.
fn limits() {
    let limit = libc::rlimit {
        rlim_cur: 524_288,
        rlim_max: 524_288,
    };
    // SAFETY: one live struct.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        kmsg::note("the limit of open files stays as the kernel set it");
    }
}

fn load_modules() -> usize {
    let list = match fs::read_to_string(MODULE_LIST) {
        Ok(list) => list,
        Err(error) => {
            kmsg::fail(&format!("{MODULE_LIST}: {error}"));
            return 0;
        }
    };
    let mut loaded = 0;
    for path in list
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if LATER.iter().any(|name| is_module(path, name)) {
            continue;
        }
        match load(path) {
            Ok(()) => loaded += 1,
            Err(error) => kmsg::fail(&format!("module {path}: {error}")),
        }
    }
    loaded
}

fn is_module(path: &str, name: &str) -> bool {
    Path::new(path)
        .file_stem()
        .is_some_and(|stem| stem.to_string_lossy() == name)
}

/// Loads one of those that were left out. One that is loaded already is fine.
pub fn load_later(name: &str) {
    let list = fs::read_to_string(MODULE_LIST).unwrap_or_default();
    let Some(path) = list
        .lines()
        .map(str::trim)
        .find(|path| is_module(path, name))
    else {
        return;
    };
    match load(path) {
        // It has been loaded before, and its file has gone.
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            kmsg::fail(&format!("module {path}: {error}"));
        }
        _ => {}
    }
}

fn load(path: &str) -> io::Result<()> {
    let file = fs::File::open(path)?;
    let no_parameters = CString::default();
    // SAFETY: an open file and a live string.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_finit_module,
            file.as_raw_fd(),
            no_parameters.as_ptr(),
            0,
        )
    };
    match sys::check(answer) {
        Err(error) if error.raw_os_error() != Some(libc::EEXIST) => Err(error),
        // The file has done its service, and here a file is memory.
        _ => fs::remove_file(path),
    }
}
