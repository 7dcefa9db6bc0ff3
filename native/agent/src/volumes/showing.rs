//! Shows a volume to every namespace, and hides it from them. Either is done for all or for none: where it fails half-way,
//! the steps before are taken back as far as they can be.

use super::device::Device;
use super::holders;
use super::order::{Mode, Order};
use super::spaces::{self, Space};
use crate::access::{guest_error, path_error};
use crate::{disks, sys};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
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

/// Out of sight, then everywhere.
pub fn show(order: &Order, device: &Device, spaces: &[libc::pid_t]) -> Result<(), WireError> {
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
pub fn hide(order: &Order, device: &Device, force: bool) -> Result<(), WireError> {
    let here = order.here();
    write_out(&here).map_err(|error| path_error(&order.path, &error))?;
    let number = spaces::device_of(&here).map_err(|error| guest_error("the volume", &error))?;
    let mut taken = Vec::new();
    let flags = if force { libc::MNT_DETACH } else { 0 };
    let done =
        take_from_others(&number, force, &mut taken).and_then(|()| sys::unmount(&here, flags));
    let still_held = done.is_ok() && !force && !device.is_free();
    if done.is_ok() && !still_held {
        return Ok(());
    }
    let holders = holders::of(&number);
    if still_held {
        show(order, device, &[]).inspect_err(|error| {
            crate::kmsg::fail(&format!("{} can't be mounted again: {error}", order.path));
        })?;
    }
    give_back(taken, &here);
    let message = format!("{} is in use{}", order.path, holders::told(&holders));
    Err(WireError::new(Code::Conflict, message).with_errno(Some(libc::EBUSY)))
}

fn write_out(here: &Path) -> io::Result<()> {
    let directory = File::open(here)?;
    // SAFETY: an open descriptor. What can't be written is found by whoever reads it.
    unsafe { libc::syncfs(directory.as_raw_fd()) };
    Ok(())
}

/// Ends at the first that is in use. `taken`: what was taken until then, from whom and where.
fn take_from_others(number: &str, force: bool, taken: &mut Vec<(Space, String)>) -> io::Result<()> {
    for (pid, places) in spaces::with_device(number) {
        let Ok(space) = Space::of(pid) else { continue };
        for place in places.into_iter().rev() {
            match space.unmount(&place, force) {
                Ok(()) => taken.push((space.clone(), place)),
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => return Err(error),
                // Its last process has gone meanwhile, and the namespace with it.
                Err(_) => {}
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
