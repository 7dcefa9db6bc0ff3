use crate::{kmsg, sys};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The host's three virtio-serial ports. A port is found by its name; only `control` is indispensable.
pub struct Ports {
    pub control: OwnedFd,
    pub bulk: Option<OwnedFd>,
    pub log: Option<OwnedFd>,
}

const SYSFS: &str = "/sys/class/virtio-ports";
/// How long the lesser ports are waited for once `control` is there. They appear within milliseconds of each other.
const PATIENCE: Duration = Duration::from_secs(2);

impl Ports {
    /// Waits for the ports to appear. Without `control` there is nobody to talk to, so that one is waited for without end.
    pub fn wait() -> Ports {
        let (mut control, mut bulk, mut log) = (None, None, None);
        let start = Instant::now();
        let mut complained = false;
        loop {
            for (name, slot) in [
                ("vivarium.control", &mut control),
                ("vivarium.bulk", &mut bulk),
                ("vivarium.log", &mut log),
            ] {
                if slot.is_none() {
                    *slot = open(name);
                }
            }
            let waited = start.elapsed();
            let all = bulk.is_some() && log.is_some();
            match control.take() {
                Some(control) if all || waited > PATIENCE => return Ports { control, bulk, log },
                other => control = other,
            }
            if waited > 5 * PATIENCE && !complained {
                complained = true;
                kmsg::fail("the host gave this machine no port named vivarium.control");
            }
            sleep(Duration::from_millis(if complained { 500 } else { 2 }));
        }
    }
}

fn open(name: &str) -> Option<OwnedFd> {
    let entries = fs::read_dir(SYSFS).ok()?;
    let port = entries.flatten().find(|entry| {
        fs::read_to_string(entry.path().join("name")).is_ok_and(|text| text.trim_end() == name)
    })?;
    open_device(&format!("/dev/{}", port.file_name().to_string_lossy())).ok()
}

fn open_device(path: &str) -> io::Result<OwnedFd> {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let fd = OwnedFd::from(file);
    sys::set_nonblocking(std::os::fd::AsRawFd::as_raw_fd(&fd))?;
    Ok(fd)
}
