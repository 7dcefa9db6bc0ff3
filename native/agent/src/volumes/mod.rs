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

use crate::access::{guest_error, path_error};
use crate::configure::MERGED_ROOT;
use crate::{disks, sys};
use device::Device;
use order::Mode;
pub use order::Order;
use showing::{hide, private_layer, show};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use viv_protocol::{Code, Value, WireError};

struct Mounted {
    order: Order,
    device: Device,
    /// Of its mounts, `major:minor`: where they are is looked up by it, since the path may lead through links of the image.
    number: String,
}

impl Mounted {
    /// In the agent's own namespace. A workload that has removed the directory has taken the mount along.
    fn here(&self) -> io::Result<PathBuf> {
        let gone = || io::Error::from_raw_os_error(libc::ENOENT);
        spaces::here(&self.number).ok_or_else(gone)
    }
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
        let device = Device::find(&order.serial)
            .map_err(|error| guest_error("the disk of the volume", &error))?;
        let (at, place) = spaces::directory_below(order.root(), &order.path)
            .and_then(|at| spaces::path_of(&at).map(|place| (at, place)))
            .map_err(|error| path_error(&order.path, &error))?;
        let others = mounted.values();
        others
            .filter_map(|other| Some((other.order.path.as_str(), other.here().ok()?)))
            .try_for_each(|(path, there)| expect_apart(&order.path, &place, path, &there))?;
        let number = show(&order, &device, spaces, &at)?;
        let there = Mounted {
            order,
            device,
            number,
        };
        mounted.insert(there.order.serial.clone(), there);
        Ok(())
    }

    /// Takes one away from everybody and lets go of its disk. Where somebody uses it that is `conflict`, and nothing has changed;
    /// `force`: whoever has something open keeps it, and finds that the disk is gone. One that is not mounted is left alone.
    pub fn unmount(&self, serial: &str, force: bool) -> Result<(), WireError> {
        let mut mounted = self.lock();
        let Some(there) = mounted.get_mut(serial) else {
            // Of a disk that was found and not mounted.
            Device::known(serial)
                .map_or(Ok(()), |device| device.remove())
                .map_err(|error| guest_error("the disk of the volume", &error))?;
            return Ok(());
        };
        hide(there, force)?;
        let Some(Mounted { order, device, .. }) = mounted.remove(serial) else {
            return Ok(());
        };
        device
            .remove()
            .map_err(|error| guest_error("the disk of the volume", &error))?;
        if order.mode == Mode::Overlay {
            let layer = private_layer(&order);
            if let Err(error) = fs::remove_dir_all(&layer) {
                crate::kmsg::note(&format!("{} stays: {error}", layer.display()));
            }
        }
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
            .and_then(|()| disks::grow(&there.device.node(), &there.here()?))
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

/// Each needs a place of its own, also where the paths don't show that they lead to one.
fn expect_apart(path: &str, place: &Path, other_path: &str, other: &Path) -> Result<(), WireError> {
    if !place.starts_with(other) && !other.starts_with(place) {
        return Ok(());
    }
    let message = if place == other {
        format!("another volume is mounted at {path}")
    } else {
        format!("{path} and {other_path}, where another volume is mounted, lie in each other")
    };
    Err(WireError::new(Code::Conflict, message))
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
    fn two_volumes_are_not_mounted_in_each_other_whatever_their_paths_are() {
        let apart = |one, other| expect_apart("/a", Path::new(one), "/b", Path::new(other));
        apart("/r/data", "/r/database").expect("beside each other");
        for (one, other) in [("/r/x", "/r/x"), ("/r/x", "/r/x/y"), ("/r/x/y", "/r/x")] {
            let refused = apart(one, other).expect_err(one);
            assert_eq!(refused.code, Code::Conflict, "{one} {other}");
        }
    }

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
