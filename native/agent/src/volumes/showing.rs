//! Shows a volume to every namespace, and hides it from them. Either is done for all or for none: where it fails half-way,
//! the steps before are taken back as far as they can be.

use super::device::Device;
use super::holders::{self, Holder};
use super::order::{Mode, Order};
use super::spaces::{self, Space};
use super::Mounted;
use crate::access::{guest_error, path_error};
use crate::{disks, sys};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use viv_protocol::{Code, WireError};

/// Where a volume is mounted out of sight, and where its overlay is.
const PLAIN: &str = "/v";
const STACKED: &str = "/o";
/// On the instance's writable disk: what is written to a volume that others share.
const PRIVATE: &str = "volumes";

/// Where the private layer of a volume is on that disk.
pub fn private_layer(order: &Order) -> PathBuf {
    Path::new(disks::OVERLAY_DISK)
        .join(PRIVATE)
        .join(&order.layer)
}

/// Out of sight, then everywhere; in the agent's own namespace on the directory `at`. Answers the number of its mounts.
pub fn show(
    order: &Order,
    device: &Device,
    spaces: &[libc::pid_t],
    at: &OwnedFd,
) -> Result<String, WireError> {
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
        .and_then(|()| {
            let source = steps.last().unwrap_or(&plain);
            place_everywhere(order, source, spaces, at)?;
            spaces::device_of(source).map_err(|error| guest_error("the volume", &error))
        });
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
fn place_everywhere(
    order: &Order,
    source: &Path,
    spaces: &[libc::pid_t],
    at: &OwnedFd,
) -> Result<(), WireError> {
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
        .and_then(|()| spaces::place_at(&spaces::clone_of(source)?, at));
    done.map_err(|error: io::Error| {
        for space in placed {
            let _best_effort = space.unmount(&order.path, true);
        }
        path_error(&order.path, &error)
    })
}

/// Everybody else first: what could not be taken from one is given back to the others out of our own.
pub fn hide(there: &mut Mounted, force: bool) -> Result<(), WireError> {
    let path = there.order.path.clone();
    let here = spaces::here(&there.number);
    if let Some(here) = &here {
        write_out(here).map_err(|error| path_error(&path, &error))?;
    }
    let mut taken = Vec::new();
    let flags = if force { libc::MNT_DETACH } else { 0 };
    let done = take_from_others(&there.number, force, &mut taken)
        .and_then(|()| here.map_or(Ok(()), |here| sys::unmount(&here, flags)));
    let error = match done {
        Ok(()) if force || there.device.is_free() => return Ok(()),
        Ok(()) => {
            let busy = io::Error::from_raw_os_error(libc::EBUSY);
            let refused = refusal(&path, &busy, &holders::of(&there.number));
            show_again(there).inspect_err(|error| {
                crate::kmsg::fail(&format!("{path} can't be mounted again: {error}"));
            })?;
            refused
        }
        Err(error) => refusal(&path, &error, &holders::of(&there.number)),
    };
    if let Some(here) = spaces::here(&there.number) {
        give_back(taken, &here);
    }
    Err(error)
}

fn show_again(there: &mut Mounted) -> Result<(), WireError> {
    let order = &there.order;
    let at = spaces::directory_below(order.root(), &order.path)
        .map_err(|error| path_error(&order.path, &error))?;
    there.number = show(order, &there.device, &[], &at)?;
    Ok(())
}

/// Only EBUSY says that somebody uses it.
fn refusal(path: &str, error: &io::Error, holders: &[Holder]) -> WireError {
    if error.raw_os_error() != Some(libc::EBUSY) {
        return guest_error(&format!("{path} can't be unmounted"), error);
    }
    let message = format!("{path} is in use{}", holders::told(holders));
    WireError::new(Code::Conflict, message).with_errno(error.raw_os_error())
}

fn write_out(here: &Path) -> io::Result<()> {
    let directory = File::open(here)?;
    // SAFETY: an open descriptor. What can't be written is found by whoever reads it.
    unsafe { libc::syncfs(directory.as_raw_fd()) };
    Ok(())
}

/// Ends at the first that can't be taken. `taken`: what was taken until then, from whom and where.
fn take_from_others(number: &str, force: bool, taken: &mut Vec<(Space, String)>) -> io::Result<()> {
    for (pid, places) in spaces::with_device(number) {
        let Ok(space) = Space::of(pid) else { continue };
        for place in places.into_iter().rev() {
            match space.unmount(&place, force) {
                Ok(()) => taken.push((space.clone(), place)),
                // Unmounted or removed since it was listed, or known by another path in there: the disk tells whether it is free.
                Err(error)
                    if matches!(
                        error.raw_os_error(),
                        Some(libc::EINVAL | libc::ENOENT | libc::ENOTDIR)
                    ) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn give_back(taken: Vec<(Space, String)>, here: &Path) {
    for (space, place) in taken.into_iter().rev() {
        let again = spaces::clone_of(here).and_then(|tree| space.place(tree, "/", &place));
        if let Err(error) = again {
            crate::kmsg::fail(&format!("{place} can't be mounted again: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_use_is_said_to_be() {
        let told = |errno| refusal("/data", &io::Error::from_raw_os_error(errno), &[]);
        let busy = told(libc::EBUSY);
        assert_eq!(busy.code, Code::Conflict);
        assert!(busy.message.ends_with("is in use"), "{}", busy.message);
        let other = told(libc::EIO);
        assert_eq!(
            (other.code, other.errno),
            (Code::GuestError, Some(libc::EIO))
        );
        assert!(
            other.message.starts_with("/data can't be unmounted: "),
            "{}",
            other.message
        );
    }
}
