//! Files with holes.

use super::batch::{Run, PAGE};
use super::Watch;
use crate::failure::Failure;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How much is copied between two looks at whether it is still wanted.
const STEP: u64 = 8 << 20;
/// How much is read at once where it has to be.
const PIECE: u64 = 128 << 10;

/// A file being written, which is removed unless it is kept.
pub struct Partial {
    path: PathBuf,
    pub file: File,
    kept: bool,
}

impl Partial {
    pub fn create(path: &Path) -> Result<Partial, Failure> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Failure::new("conflict", format!("{} exists already", path.display()))
            }
            _ => Failure::io(&path.display().to_string(), &error),
        })?;
        Ok(Partial::of(path, file))
    }

    pub fn of(path: &Path, file: File) -> Partial {
        Partial {
            path: path.to_owned(),
            file,
            kept: false,
        }
    }

    pub fn failed(&self) -> impl Fn(io::Error) -> Failure + '_ {
        |error| Failure::io(&self.path.display().to_string(), &error)
    }

    /// Whole, and not to be written any more.
    pub fn finish(self) -> Result<(), Failure> {
        // SAFETY: fchmod on an open descriptor.
        if unsafe { libc::fchmod(self.file.as_raw_fd(), 0o400) } != 0 {
            return Err(self.failed()(io::Error::last_os_error()));
        }
        self.keep();
        Ok(())
    }

    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A file of a saved state, as long as it has to be.
pub fn open_base(path: &Path, bytes: u64) -> Result<File, Failure> {
    let failed = |error: io::Error| Failure::saved_state(path, &error);
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() || found.len() != bytes {
        let why = format!("it has {} bytes where {bytes} are expected", found.len());
        return Err(Failure::damaged(path, why));
    }
    Ok(file)
}

/// The first data at or after `from`, up to the next hole.
pub fn next_data(file: &File, from: u64) -> io::Result<Option<(u64, u64)>> {
    let seek = |at: u64, whence| {
        // SAFETY: lseek on an open descriptor, whose position nobody uses.
        match unsafe { libc::lseek(file.as_raw_fd(), at as i64, whence) } {
            -1 => Err(io::Error::last_os_error()),
            found => Ok(found as u64),
        }
    };
    match seek(from, libc::SEEK_DATA) {
        Ok(start) => Ok(Some((start, seek(start, libc::SEEK_HOLE)?))),
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Bytes that are not holes.
pub fn data_bytes(file: &File) -> io::Result<u64> {
    let (mut at, mut sum) = (0, 0);
    while let Some((start, end)) = next_data(file, at)? {
        sum += end - start;
        at = end;
    }
    Ok(sum)
}

/// Copies what is not a hole, within the kernel where it can.
pub fn copy_data(from: &File, path: &Path, into: &Partial, watch: &Watch) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::saved_state(path, &error);
    let mut buffer = Vec::new();
    let mut at = 0;
    while let Some((start, end)) = next_data(from, at).map_err(failed)? {
        at = start;
        while at < end {
            watch.check()?;
            if let Some(copied) = copy_range(from, &into.file, at, (end - at).min(STEP)) {
                at += copied;
                continue;
            }
            buffer.resize((end - at).min(PIECE) as usize, 0);
            from.read_exact_at(&mut buffer, at).map_err(failed)?;
            into.file.write_all_at(&buffer, at).map_err(into.failed())?;
            at += buffer.len() as u64;
        }
    }
    Ok(())
}

/// None: it has to be read and written, which also tells what is wrong.
fn copy_range(from: &File, into: &File, at: u64, bytes: u64) -> Option<u64> {
    let (mut source, mut target) = (at as i64, at as i64);
    // SAFETY: two open descriptors and two numbers that the kernel may move on.
    let copied = unsafe {
        libc::copy_file_range(
            from.as_raw_fd(),
            &mut source,
            into.as_raw_fd(),
            &mut target,
            bytes as usize,
            0,
        )
    };
    (copied > 0).then_some(copied as u64)
}

/// Makes zeros of these pages, a hole where the file system has any.
pub fn clear(file: &File, run: Run, zeros: &[u8]) -> io::Result<()> {
    let (at, end) = (run.offset(), run.offset() + run.pages * PAGE);
    if next_data(file, at)?.is_none_or(|(start, _)| start >= end) {
        return Ok(());
    }
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: fallocate on an open descriptor.
    match unsafe { libc::fallocate(file.as_raw_fd(), mode, at as i64, (end - at) as i64) } {
        0 => Ok(()),
        _ => file.write_all_at(zeros, at),
    }
}
