//! Volumes: disks that come and go while the guest runs, each mounted at a path of the image's root.
//!
//! A volume is mounted once, out of sight, and cloned (`open_tree`) to where it is wanted: below the merged root, from which
//! the namespaces of later workloads inherit it, and into each namespace that is there already. The mount out of sight is
//! taken away again: a namespace that inherited it would hold the disk where nobody could let go of it.

mod device;
mod holders;
mod spaces;

use crate::access::{guest_error, path_error};
use crate::configure::MERGED_ROOT;
use crate::{disks, sys};
use device::Device;
use spaces::Space;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use viv_protocol::{Code, Fields, Value, WireError};

/// Where a volume is mounted out of sight, and where its overlay is.
const PLAIN: &str = "/v";
const STACKED: &str = "/o";
/// On the instance's writable disk: what is written to a volume that others share.
const PRIVATE: &str = "volumes";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    ReadWrite,
    ReadOnly,
    /// Read-only, below a private layer.
    Overlay,
}

impl Mode {
    fn read(text: &str) -> Result<Mode, WireError> {
        match text {
            "rw" => Ok(Mode::ReadWrite),
            "ro" => Ok(Mode::ReadOnly),
            "overlay" => Ok(Mode::Overlay),
            _ => Err(invalid(format!("{text} is no mode of a volume"))),
        }
    }

    fn text(self) -> &'static str {
        match self {
            Mode::ReadWrite => "rw",
            Mode::ReadOnly => "ro",
            Mode::Overlay => "overlay",
        }
    }
}

/// What is to be mounted, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    serial: String,
    path: String,
    mode: Mode,
    /// Name of the private layer.
    layer: String,
    /// Below the image's root; else in the agent's own, for a guest that has no image.
    in_image: bool,
}

impl Order {
    pub fn read(fields: &Fields<'_>, in_image: bool) -> Result<Order, WireError> {
        let (serial, path) = (fields.text("serial")?, fields.text("path")?);
        let mode = Mode::read(fields.text("mode")?)?;
        let layer = fields.text_if("layer")?.unwrap_or(serial);
        for name in [serial, layer] {
            if name.is_empty() || name.starts_with('.') || name.contains('/') {
                return Err(invalid(format!("{name:?} is no name of a volume")));
            }
        }
        if !path.starts_with('/') || path == "/" || path.contains('\0') {
            return Err(invalid(format!("{path:?} is no place for a volume")));
        }
        if mode == Mode::Overlay && !in_image {
            return Err(invalid("there is no disk for a private layer".to_owned()));
        }
        Ok(Order {
            serial: serial.to_owned(),
            path: path.to_owned(),
            mode,
            layer: layer.to_owned(),
            in_image,
        })
    }

    /// The root it is mounted below, in the agent's own namespace.
    fn root(&self) -> &'static str {
        if self.in_image {
            MERGED_ROOT
        } else {
            "/"
        }
    }

    /// Where it is in the agent's own namespace.
    fn here(&self) -> PathBuf {
        Path::new(self.root()).join(self.path.trim_start_matches('/'))
    }
}

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
        hide(there, force)?;
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
            return Err(invalid("the volume is mounted read-only".to_owned()));
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

fn invalid(message: String) -> WireError {
    WireError::new(Code::InvalidRequest, message)
}

fn private_layer(order: &Order) -> PathBuf {
    Path::new(disks::OVERLAY_DISK)
        .join(PRIVATE)
        .join(&order.layer)
}

/// Out of sight, then everywhere.
fn show(order: &Order, device: &Device, spaces: &[libc::pid_t]) -> Result<(), WireError> {
    let plain = Path::new(PLAIN).join(&order.serial);
    let stacked = Path::new(STACKED).join(&order.serial);
    let mut steps = Vec::new();
    let done = mount_plain(order, device, &plain)
        .map_err(|error| guest_error("the file system of the volume", &error))
        .and_then(|()| {
            steps.push(plain.clone());
            if order.mode != Mode::Overlay {
                return Ok(());
            }
            mount_stacked(order, &plain, &stacked)
                .map_err(|error| guest_error("the private layer of the volume", &error))?;
            steps.push(stacked.clone());
            Ok(())
        })
        .and_then(|()| place_everywhere(order, steps.last().unwrap_or(&plain), spaces));
    for step in steps.iter().rev() {
        if let Err(error) = sys::unmount(step, libc::MNT_DETACH) {
            crate::kmsg::fail(&format!("unmounting {}: {error}", step.display()));
        }
    }
    done
}

fn mount_plain(order: &Order, device: &Device, at: &Path) -> io::Result<()> {
    fs::create_dir_all(at)?;
    let node = device.node();
    // As for the root disk: without `noinit_itable` a fresh file system writes for minutes.
    let (flags, options) = match order.mode {
        Mode::ReadWrite => (0, "noinit_itable,errors=remount-ro"),
        Mode::ReadOnly | Mode::Overlay => (libc::MS_RDONLY, ""),
    };
    sys::mount(&node.to_string_lossy(), at, "ext4", flags, options)?;
    if order.mode == Mode::ReadWrite {
        // Programs that want an empty directory for their data would not take it. `fsck` makes it again where it needs it.
        let _in_use_or_gone = fs::remove_dir(at.join("lost+found"));
        disks::grow(&node, at).inspect_err(|_| {
            let _was_mounted_here = sys::unmount(at, libc::MNT_DETACH);
        })?;
    }
    Ok(())
}

fn mount_stacked(order: &Order, lower: &Path, at: &Path) -> io::Result<()> {
    fs::create_dir_all(at)?;
    let layer = private_layer(order);
    let (upper, work) = (layer.join("upper"), layer.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={},redirect_dir=on,index=off,metacopy=off",
        lower.display(),
        upper.display(),
        work.display(),
    );
    sys::mount("overlay", at, "overlay", 0, &options)
}

/// In the agent's own namespace last: where that has it, everybody has.
fn place_everywhere(order: &Order, source: &Path, spaces: &[libc::pid_t]) -> Result<(), WireError> {
    let failed = |error: io::Error| path_error(&order.path, &error);
    let mut placed: Vec<Space> = Vec::new();
    let inside = if order.in_image { spaces } else { &[] };
    let done = inside
        .iter()
        .try_for_each(|pid| {
            let space = Space::of(*pid)?;
            space.place(spaces::clone_of(source)?, "/", &order.path)?;
            placed.push(space);
            Ok(())
        })
        .and_then(|()| spaces::place_here(&spaces::clone_of(source)?, order.root(), &order.path));
    done.map_err(|error| {
        for space in placed {
            let _best_effort = space.unmount(&order.path, true);
        }
        failed(error)
    })
}

/// Everybody else first: what could not be taken from one is given back to the others out of our own.
fn hide(there: &Mounted, force: bool) -> Result<(), WireError> {
    let Mounted { order, device } = there;
    let here = order.here();
    let directory = File::open(&here).map_err(|error| path_error(&order.path, &error))?;
    // SAFETY: an open descriptor. What can't be written is found by whoever reads it.
    unsafe { libc::syncfs(directory.as_raw_fd()) };
    drop(directory);
    let number = spaces::device_of(&here).map_err(|error| guest_error("the volume", &error))?;
    let mut hidden: Vec<(Space, String)> = Vec::new();
    let mut busy = false;
    'all: for (pid, places) in spaces::with_device(&number) {
        let Ok(space) = Space::of(pid) else { continue };
        for place in places.iter().rev() {
            match space.unmount(place, force) {
                Ok(()) => hidden.push((space.clone(), place.clone())),
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                    busy = true;
                    break 'all;
                }
                // Its last process has gone meanwhile, and the namespace with it.
                Err(_) => {}
            }
        }
    }
    let flags = if force { libc::MNT_DETACH } else { 0 };
    let done = if busy {
        Err(io::Error::from_raw_os_error(libc::EBUSY))
    } else {
        sys::unmount(&here, flags)
    };
    let still_held = done.is_ok() && !force && !device.is_free();
    if done.is_ok() && !still_held {
        return Ok(());
    }
    let holders = holders::of(&number);
    if still_held {
        show(order, device, &[]).map_err(|error| {
            crate::kmsg::fail(&format!("{} can't be mounted again: {error}", order.path));
            error
        })?;
    }
    for (space, place) in hidden.into_iter().rev() {
        let again = spaces::clone_of(&here).and_then(|tree| space.place(tree, "/", &place));
        if let Err(error) = again {
            crate::kmsg::fail(&format!("{place} can't be mounted again: {error}"));
        }
    }
    let message = format!("{} is in use{}", order.path, holders::told(&holders));
    Err(WireError::new(Code::Conflict, message).with_errno(Some(libc::EBUSY)))
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

    fn order(fields: Vec<(&str, &str)>) -> Result<Order, WireError> {
        let body = Value::map(
            fields
                .into_iter()
                .map(|(key, text)| (key, Value::from(text)))
                .collect(),
        );
        Order::read(&Fields(&body), true)
    }

    #[test]
    fn an_order_says_where_and_how() {
        let read = order(vec![("serial", "v1"), ("path", "/data"), ("mode", "ro")]).expect("whole");
        assert_eq!(read.here(), Path::new("/r/data"));
        assert_eq!((read.mode, read.layer.as_str()), (Mode::ReadOnly, "v1"));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for (serial, path, mode) in [
            ("../x", "/data", "rw"),
            ("", "/data", "rw"),
            ("v1", "/", "rw"),
            ("v1", "data", "rw"),
            ("v1", "/data", "rwx"),
        ] {
            let refused = order(vec![("serial", serial), ("path", path), ("mode", mode)]);
            assert_eq!(
                refused.expect_err("refused").code,
                Code::InvalidRequest,
                "{serial} {path} {mode}"
            );
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
