//! Disks found by their serial numbers, and the root stacked from them.

use crate::bus::{wait_for, Bus};
use crate::{kmsg, sys};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

/// Layers are mounted here, each under its number: a short name keeps the option string of 128 of them short.
const LAYERS: &str = "/l";
/// Where the writable disk is mounted.
pub const OVERLAY_DISK: &str = "/l/w";
/// How long a disk or a partition may take to appear.
const PATIENCE: Duration = Duration::from_secs(5);
/// More layers than any image has, few enough for overlayfs (500) and one page of options.
const MOST_LAYERS: u32 = 400;

/// `EXT4_IOC_RESIZE_FS` of the kernel's ext4: `_IOW('f', 16, __u64)`, the new size in blocks.
const EXT4_IOC_RESIZE_FS: libc::c_ulong = 0x4008_6610;
/// `BLKGETSIZE64` of linux/fs.h.
const BLKGETSIZE64: libc::c_ulong = 0x8008_1272;

fn by_serial(serial: &str) -> Option<String> {
    let entries = fs::read_dir("/sys/block").ok()?;
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    names.into_iter().find(|name| {
        let told = fs::read_to_string(format!("/sys/block/{name}/serial"));
        told.is_ok_and(|text| text.trim_end_matches(['\n', '\0']) == serial)
    })
}

/// The name (`vda`) of the disk with that serial number.
pub fn find(bus: &mut Bus, serial: &str) -> io::Result<String> {
    let what = format!("a disk with the serial number {serial}");
    bus.find(&what, PATIENCE, || by_serial(serial))
}

/// The kernel's watch over how writes delay reads: it wakes an idle machine ten times a second for seconds after each write, and
/// weighs what a host's cache has decided already.
pub fn unwatch(disk: &str) {
    // A kernel without it has nothing to be turned off.
    let _absent_is_fine = fs::write(format!("/sys/block/{disk}/queue/wbt_lat_usec"), "0");
}

pub fn mount_layers(disk: &str, count: u32) -> io::Result<()> {
    if count == 0 || count > MOST_LAYERS {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{count} layers; 1 to {MOST_LAYERS} can be stacked"),
        ));
    }
    for number in 0..count {
        let device = format!("/dev/{disk}{}", number + 1);
        wait_for(&device, PATIENCE, || {
            Path::new(&device).exists().then_some(())
        })?;
        let target = format!("{LAYERS}/{number}");
        fs::create_dir_all(&target)?;
        sys::mount(
            &device,
            Path::new(&target),
            "squashfs",
            libc::MS_RDONLY | libc::MS_NOATIME,
            "",
        )
        .inspect_err(|error| kmsg::fail(&format!("layer {number} on {device}: {error}")))?;
    }
    Ok(())
}

pub fn mount_overlay_disk(device: &Path) -> io::Result<()> {
    fs::create_dir_all(OVERLAY_DISK)?;
    // Without `noinit_itable` a fresh file system writes for minutes in the background.
    sys::mount(
        &device.to_string_lossy(),
        Path::new(OVERLAY_DISK),
        "ext4",
        libc::MS_NOATIME,
        "noinit_itable",
    )?;
    for directory in ["upper", "work"] {
        let path = Path::new(OVERLAY_DISK).join(directory);
        if !path.is_dir() {
            fs::create_dir(path)?;
        }
    }
    Ok(())
}

/// Grows the file system that is mounted at a directory to its device; one that fills it already is left alone.
pub fn grow(device: &Path, mounted: &Path) -> io::Result<()> {
    let mut bytes: u64 = 0;
    sys::ioctl_ref(File::open(device)?.as_raw_fd(), BLKGETSIZE64, &mut bytes)?;
    let directory = File::open(mounted)?;
    let about = sys::stat_fs(directory.as_raw_fd())?;
    let block = u64::try_from(about.f_bsize).unwrap_or(4096).max(1024);
    let held = block * superblock_blocks(device).unwrap_or(about.f_blocks as u64);
    // A group of blocks is the least that is worth it.
    if bytes < held + 8 * block * block {
        return Ok(());
    }
    let mut blocks = bytes / block;
    sys::ioctl_ref(directory.as_raw_fd(), EXT4_IOC_RESIZE_FS, &mut blocks).map(|_| ())
}

/// Blocks as the superblock counts them: `statfs` leaves out what the file system needs for itself.
fn superblock_blocks(device: &Path) -> Option<u64> {
    use std::os::unix::fs::FileExt;
    let mut block = [0u8; 0x160];
    File::open(device)
        .ok()?
        .read_exact_at(&mut block, 1024)
        .ok()?;
    let at = |offset: usize| {
        Some(u64::from(u32::from_le_bytes(
            block.get(offset..offset + 4)?.try_into().ok()?,
        )))
    };
    Some(at(0x4)? | at(0x150)? << 32)
}

fn overlay_options(layers: u32) -> String {
    // The topmost layer comes first.
    let lower: Vec<String> = (0..layers).rev().map(|number| number.to_string()).collect();
    format!(
        "lowerdir={},upperdir=w/upper,workdir=w/work,redirect_dir=on,index=off,metacopy=off",
        lower.join(":")
    )
}

pub fn stack(layers: u32, target: &str) -> io::Result<()> {
    fs::create_dir_all(target)?;
    std::env::set_current_dir(LAYERS)?;
    let stacked = sys::mount(
        "overlay",
        Path::new(target),
        "overlay",
        libc::MS_NOATIME,
        &overlay_options(layers),
    );
    std::env::set_current_dir("/")?;
    stacked?;
    for number in 0..layers {
        // The stack keeps them; here they would only be copied into every new mount namespace.
        sys::unmount(Path::new(&format!("{LAYERS}/{number}")), libc::MNT_DETACH)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_layer_comes_first() {
        assert!(overlay_options(3).starts_with("lowerdir=2:1:0,upperdir="));
    }

    #[test]
    fn the_options_of_the_most_layers_fit_a_page() {
        assert!(overlay_options(MOST_LAYERS).len() < 4000);
    }

    #[test]
    fn no_layer_and_too_many_are_refused() {
        assert!(mount_layers("nope", 0).is_err());
        assert!(mount_layers("nope", MOST_LAYERS + 1).is_err());
    }
}
