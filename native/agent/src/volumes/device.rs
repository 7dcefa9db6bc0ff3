//! The disk of a volume: a logical unit of the SCSI controller, found by its serial number.

use crate::bus::wait_for;
use crate::{boot, kmsg};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);
/// How long the kernel may take to let go of a file system that nobody sees any more.
const FREED_WITHIN: Duration = Duration::from_millis(200);
const DRIVER: &str = "/sys/bus/virtio/drivers/virtio_scsi";
const RESCAN: &str = "/sys/bus/pci/rescan";
/// Of vital product data: type, page, and two bytes of length.
const PAGE_HEADER: usize = 4;

pub struct Device {
    /// Below `/sys/block`: `sda`.
    name: String,
}

fn has_serial(name: &str, serial: &str) -> bool {
    let page = fs::read(format!("/sys/block/{name}/device/vpd_pg80"));
    page.is_ok_and(|page| serial_in(&page) == Some(serial.as_bytes()))
}

fn serial_in(page: &[u8]) -> Option<&[u8]> {
    let text = page.get(PAGE_HEADER..)?;
    let begin = text.iter().position(|byte| !b" \0".contains(byte))?;
    let end = text.iter().rposition(|byte| !b" \0".contains(byte))?;
    text.get(begin..=end)
}

fn has_controller() -> bool {
    fs::read_dir(DRIVER).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("virtio"))
    })
}

/// The controller is no part of a template, and its driver not loaded before there is a volume: a start without any pays
/// for neither.
fn wake_controller() {
    if has_controller() {
        return;
    }
    boot::load_later("virtio_scsi");
    if !has_controller() {
        // A machine without PCI has nothing to scan.
        let _absent_is_fine = fs::write(RESCAN, "1");
    }
}

impl Device {
    /// Already seen by the kernel.
    pub fn known(serial: &str) -> Option<Device> {
        let entries = fs::read_dir("/sys/block").ok()?;
        let names = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        names
            .into_iter()
            .find(|name| has_serial(name, serial))
            .map(|name| Device { name })
    }

    /// One that may have been plugged in a moment ago.
    pub fn find(serial: &str) -> io::Result<Device> {
        wake_controller();
        let what = format!("a volume with the serial number {serial}");
        let device = wait_for(&what, PATIENCE, || Device::known(serial))?;
        let node = device.node();
        // The kernel makes the node a moment before it can be opened.
        wait_for(&node.to_string_lossy(), PATIENCE, || File::open(&node).ok())?;
        Ok(device)
    }

    pub fn node(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }

    fn attribute(&self, name: &str) -> String {
        format!("/sys/block/{}/device/{name}", self.name)
    }

    /// It may have become larger.
    pub fn measure(&self) -> io::Result<()> {
        fs::write(self.attribute("rescan"), "1")
    }

    /// Whether no file system of it is mounted, in whatever namespace.
    pub fn is_free(&self) -> bool {
        let node = self.node();
        wait_for("a free disk", FREED_WITHIN, || {
            let opened = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_EXCL)
                .open(&node);
            match opened {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => None,
                _ => Some(()),
            }
        })
        .is_ok()
    }

    /// The kernel forgets it; the host may take it out then.
    pub fn remove(&self) -> io::Result<()> {
        match fs::write(self.attribute("delete"), "1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => {
                kmsg::fail(&format!("{} can't be removed: {error}", self.name));
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_is_what_is_in_the_page() {
        assert_eq!(serial_in(b"\0\x80\0\x04abcd"), Some(&b"abcd"[..]));
        assert_eq!(serial_in(b"\0\x80\0\x08  ab\0\0  "), Some(&b"ab"[..]));
        assert_eq!(serial_in(b"\0\x80\0\0"), None);
        assert_eq!(serial_in(b""), None);
    }

    #[test]
    fn what_is_no_disk_is_not_known() {
        assert!(Device::known("no such serial").is_none());
    }
}
