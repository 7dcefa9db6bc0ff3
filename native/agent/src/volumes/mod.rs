//! Volumes: disks that come and go while the guest runs, each mounted at a path of the image's root.
//!
//! A volume is mounted once, out of sight, and cloned (`open_tree`) to where it is wanted: below the merged root, from which
//! the namespaces of later workloads inherit it, and into each namespace that is there already. The mount out of sight is
//! taken away again: a namespace that inherited it would hold the disk where nobody could let go of it.

mod device;
mod holders;
mod order;
mod showing;
mod spaces;

use crate::access::guest_error;
use crate::configure::MERGED_ROOT;
use crate::{disks, sys};
use device::Device;
use order::Mode;
pub use order::Order;
use showing::{hide, private_layer, show};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use viv_protocol::{Code, Value, WireError};

struct Mounted {
    order: Order,
    device: Device,
}

/// The volumes of this guest. Whoever changes one holds them all.
#[derive(Clone, Default)]
pub struct Volumes {
    mounted: Arc<Mutex<BTreeMap<String, Mounted>>>,
}

impl Volumes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Mounted>> {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mounts one, and shows it to everybody; `spaces`: a process of each namespace that is there already. One that is mounted
    /// so already is left alone.
    pub fn mount(&self, order: Order, spaces: &[libc::pid_t]) -> Result<(), WireError> {
        let mut mounted = self.lock();
        if let Some(there) = mounted.get(&order.serial) {
            if there.order == order {
                return Ok(());
            }
            let message = format!("the volume is mounted at {} already", there.order.path);
            return Err(WireError::new(Code::Conflict, message));
        }
        if mounted.values().any(|other| other.order.path == order.path) {
            let message = format!("another volume is mounted at {}", order.path);
            return Err(WireError::new(Code::Conflict, message));
        }
        let device = Device::find(&order.serial)
            .map_err(|error| guest_error("the disk of the volume", &error))?;
        show(&order, &device, spaces)?;
        mounted.insert(order.serial.clone(), Mounted { order, device });
        Ok(())
    }

    /// Takes one away from everybody and lets go of its disk. Where somebody uses it that is `conflict`, and nothing has changed;
    /// `force`: whoever has something open keeps it, and finds that the disk is gone. One that is not mounted is left alone.
    pub fn unmount(&self, serial: &str, force: bool) -> Result<(), WireError> {
        let mut mounted = self.lock();
        let Some(there) = mounted.get(serial) else {
            // Of a disk that was found and not mounted.
            Device::known(serial)
                .map_or(Ok(()), |device| device.remove())
                .map_err(|error| guest_error("the disk of the volume", &error))?;
            return Ok(());
        };
        hide(&there.order, &there.device, force)?;
        there
            .device
            .remove()
            .map_err(|error| guest_error("the disk of the volume", &error))?;
        if there.order.mode == Mode::Overlay {
            let layer = private_layer(&there.order);
            if let Err(error) = fs::remove_dir_all(&layer) {
                crate::kmsg::note(&format!("{} stays: {error}", layer.display()));
            }
        }
        mounted.remove(serial);
        Ok(())
    }

    /// Grows the file system of one to its disk.
    pub fn grow(&self, serial: &str) -> Result<(), WireError> {
        let mounted = self.lock();
        let there = mounted
            .get(serial)
            .ok_or_else(|| WireError::new(Code::NotFound, "the volume is not mounted"))?;
        if there.order.mode != Mode::ReadWrite {
            let message = "the volume is mounted read-only";
            return Err(WireError::new(Code::InvalidRequest, message));
        }
        there
            .device
            .measure()
            .and_then(|()| disks::grow(&there.device.node(), &there.order.here()))
            .map_err(|error| guest_error("grow", &error))
    }

    pub fn list(&self) -> Value {
        let mounted = self.lock();
        let each = mounted.values().map(|Mounted { order, .. }| {
            Value::map(vec![
                ("serial", order.serial.as_str().into()),
                ("path", order.path.as_str().into()),
                ("mode", order.mode.text().into()),
            ])
        });
        Value::map(vec![("volumes", Value::Array(each.collect()))])
    }
}

/// Before the machine goes off: the root below them can't be unmounted otherwise.
pub fn unmount_all() {
    for place in spaces::below(MERGED_ROOT).iter().rev() {
        let place = Path::new(place);
        let freed = sys::unmount(place, 0).or_else(|_| {
            // Somebody still holds it: read-only keeps what is on the disk whole.
            let flags = libc::MS_REMOUNT | libc::MS_RDONLY;
            let _best_effort = sys::mount("", place, "", flags, "");
            sys::unmount(place, libc::MNT_DETACH)
        });
        if let Err(error) = freed {
            crate::kmsg::fail(&format!("unmounting {}: {error}", place.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_mounted_can_be_taken_away_and_is_not_listed() {
        let volumes = Volumes::default();
        volumes.unmount("nobody", false).expect("nothing to do");
        assert_eq!(
            volumes.grow("nobody").expect_err("nothing there").code,
            Code::NotFound
        );
    }
}
