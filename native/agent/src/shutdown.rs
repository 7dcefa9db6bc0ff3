use crate::configure::MERGED_ROOT;
use crate::{disks, kmsg, sys, volumes};
use std::path::Path;
use std::time::Duration;

/// A shutdown under way.
#[derive(Default)]
pub struct Shutdown {
    /// Everything has been sent SIGKILL.
    pub killed: bool,
    /// How often it has been looked whether all are gone.
    pub looks: u32,
}

/// Unmounts what holds data and turns the machine off. No process of a workload may be left.
pub fn power_off() -> ! {
    volumes::unmount_all();
    for target in [MERGED_ROOT, disks::OVERLAY_DISK] {
        unmount(Path::new(target));
    }
    // SAFETY: no pointers. Only an unprivileged caller would come back from the second.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
    loop {
        kmsg::fail("the machine does not turn off");
        std::thread::sleep(Duration::from_secs(60));
    }
}

fn unmount(target: &Path) {
    // The last namespace of a workload goes away shortly after its last process.
    for _ in 0..50 {
        match sys::unmount(target, 0) {
            Ok(()) => return,
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                std::thread::sleep(Duration::from_millis(4))
            }
            // It was never mounted.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => {
                return
            }
            Err(error) => return kmsg::fail(&format!("unmounting {}: {error}", target.display())),
        }
    }
    // Somebody still holds it: read-only keeps what is on the disk whole.
    if let Err(error) = sys::mount("", target, "", libc::MS_REMOUNT | libc::MS_RDONLY, "") {
        kmsg::fail(&format!("{} stays busy: {error}", target.display()));
    }
}
