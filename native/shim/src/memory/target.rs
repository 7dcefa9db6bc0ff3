//! The VMM's memory: which pages are its own, and what is in them.
//!
//! The VMM is our child and is not reaped while this is in use, so its pid is its own.

use super::batch::{Batch, Run, PAGE};
use super::range::Backing;
use super::seen::Seen;
use super::Range;
use crate::failure::Failure;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

/// Entries of `/proc/PID/pagemap` read at once: 64 MiB of memory.
const WINDOW: u64 = 16 * 1024;

pub struct Target {
    pid: i32,
    pub address: u64,
    pub pages: u64,
    pub backing: Backing,
    pagemap: File,
    /// `/proc/PID/mem`, opened once the faster calls turn out to be missing.
    memory: Option<File>,
}

impl Target {
    pub fn open(pid: i32, range: &Range) -> Result<Target, Failure> {
        let proc = |name: &str| format!("/proc/{pid}/{name}");
        let maps = std::fs::read_to_string(proc("maps")).map_err(|error| refused(&error))?;
        if maps.is_empty() {
            return Err(ended());
        }
        Ok(Target {
            pid,
            address: range.address,
            pages: range.pages()?,
            backing: Backing::of(range, &maps)?,
            pagemap: File::open(proc("pagemap")).map_err(|error| refused(&error))?,
            memory: None,
        })
    }

    fn entries(&self, first: u64, into: &mut [u8]) -> Result<(), Failure> {
        let at = (self.address / PAGE + first) * 8;
        self.pagemap
            .read_exact_at(into, at)
            .map_err(|error| refused(&error))
    }

    pub fn read(&mut self, runs: &[Run], into: &mut [u8]) -> Result<(), Failure> {
        self.transfer(libc::SYS_process_vm_readv, runs, into.as_mut_ptr())
    }

    pub fn write(&mut self, runs: &[Run], from: &mut [u8]) -> Result<(), Failure> {
        self.transfer(libc::SYS_process_vm_writev, runs, from.as_mut_ptr())
    }

    /// Moves all runs between the VMM and one buffer that is as long as they are together.
    fn transfer(&mut self, call: i64, runs: &[Run], buffer: *mut u8) -> Result<(), Failure> {
        let mut remote: Vec<libc::iovec> = runs
            .iter()
            .map(|run| libc::iovec {
                iov_base: (self.address + run.offset()) as *mut libc::c_void,
                iov_len: run.bytes(),
            })
            .collect();
        let total: usize = runs.iter().map(Run::bytes).sum();
        let mut done = 0;
        let mut left = &mut remote[..];
        while done < total && self.memory.is_none() {
            let local = libc::iovec {
                // SAFETY: `done` is less than the length of the buffer.
                iov_base: unsafe { buffer.add(done) }.cast(),
                iov_len: total - done,
            };
            // SAFETY: the kernel checks the other side's addresses; ours are a buffer of that length.
            let moved = unsafe {
                libc::syscall(
                    call,
                    self.pid,
                    &raw const local,
                    1usize,
                    left.as_ptr(),
                    left.len(),
                    0usize,
                )
            };
            match moved {
                1.. => {
                    done += moved as usize;
                    left = skip(left, moved as usize);
                }
                0 => return Err(ended()),
                _ => self.fall_back(&io::Error::last_os_error())?,
            }
        }
        if done < total {
            let reading = call == libc::SYS_process_vm_readv;
            // SAFETY: as above; nothing else uses the buffer meanwhile.
            let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, total) };
            return self.through_file(reading, runs, bytes);
        }
        Ok(())
    }

    /// Some kernels and sandboxes lack the calls, but have the file.
    fn fall_back(&mut self, error: &io::Error) -> Result<(), Failure> {
        match error.raw_os_error() {
            Some(libc::EINTR | libc::EAGAIN) => Ok(()),
            Some(libc::ENOSYS | libc::EPERM) => {
                let mut options = OpenOptions::new();
                let file = options
                    .read(true)
                    .write(true)
                    .open(format!("/proc/{}/mem", self.pid));
                self.memory = Some(file.map_err(|error| refused(&error))?);
                Ok(())
            }
            _ => Err(refused(error)),
        }
    }

    fn through_file(
        &self,
        reading: bool,
        runs: &[Run],
        mut bytes: &mut [u8],
    ) -> Result<(), Failure> {
        let Some(memory) = &self.memory else {
            return Err(ended());
        };
        for run in runs {
            let (these, rest) = bytes.split_at_mut(run.bytes());
            let at = self.address + run.offset();
            let moved = if reading {
                memory.read_exact_at(these, at)
            } else {
                memory.write_all_at(these, at)
            };
            moved.map_err(|error| refused(&error))?;
            bytes = rest;
        }
        Ok(())
    }
}

/// What is left of the vectors after so many bytes.
fn skip(mut vectors: &mut [libc::iovec], mut bytes: usize) -> &mut [libc::iovec] {
    while let Some(first) = vectors.first_mut() {
        if first.iov_len > bytes {
            first.iov_base = (first.iov_base as usize + bytes) as *mut libc::c_void;
            first.iov_len -= bytes;
            break;
        }
        bytes -= first.iov_len;
        vectors = &mut vectors[1..];
    }
    vectors
}

/// Goes through the pages that may differ from the mapped file: the VMM's own, and those that once were.
pub struct Walk {
    next: u64,
    window: Vec<u8>,
    window_first: u64,
}

impl Walk {
    pub fn new() -> Walk {
        Walk {
            next: 0,
            window: Vec::new(),
            window_first: 0,
        }
    }

    /// The next pages with what is in them. False where there are no more.
    pub fn fill(
        &mut self,
        target: &mut Target,
        seen: &mut Seen,
        batch: &mut Batch,
    ) -> Result<bool, Failure> {
        batch.clear();
        while self.next < target.pages && batch.room() > 0 {
            let window_end = self.window_first + (self.window.len() / 8) as u64;
            if self.next >= window_end {
                let entries = WINDOW.min(target.pages - self.next);
                self.window.resize((entries * 8) as usize, 0);
                self.window_first = self.next;
                target.entries(self.next, &mut self.window)?;
            }
            self.collect(seen, batch);
        }
        let (runs, bytes) = batch.parts();
        target.read(runs, bytes)?;
        Ok(batch.pages() > 0)
    }

    /// From the window at hand, as far as there is room.
    fn collect(&mut self, seen: &mut Seen, batch: &mut Batch) {
        let from = ((self.next - self.window_first) * 8) as usize;
        let mut room = batch.room();
        for entry in self.window[from..].chunks_exact(8) {
            if room == 0 {
                return;
            }
            let own = is_own(entry);
            if own {
                seen.mark(self.next);
            }
            if own || seen.has(self.next) {
                batch.push(self.next, 1);
                room -= 1;
            }
            self.next += 1;
        }
    }
}

/// Present or swapped, and no page of a file.
fn is_own(entry: &[u8]) -> bool {
    let bits = entry.last().copied().unwrap_or(0);
    bits & 0b1100_0000 != 0 && bits & 0b0010_0000 == 0
}

pub fn ended() -> Failure {
    Failure::new("vmm_failed", "the VMM has ended")
}

/// Why the VMM's memory could not be had. `not_supported`: nobody here may look into it, another way has to be taken.
fn refused(error: &io::Error) -> Failure {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => Failure::new(
            "not_supported",
            format!("the memory of the VMM cannot be read here: {error}"),
        ),
        Some(libc::ESRCH | libc::ENOENT) => ended(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => ended(),
        _ => Failure::new("vmm_failed", format!("memory of the VMM: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_the_vmms_own_when_it_is_present_or_swapped_and_of_no_file() {
        for (bits, own) in [(63, true), (62, true), (61, false), (56, false)] {
            assert_eq!(is_own(&(1u64 << bits).to_le_bytes()), own, "bit {bits}");
        }
        assert!(!is_own(&(1u64 << 63 | 1 << 61).to_le_bytes()));
    }

    #[test]
    fn what_is_not_allowed_is_told_from_what_has_ended() {
        for (errno, code) in [
            (libc::EPERM, "not_supported"),
            (libc::EACCES, "not_supported"),
            (libc::ENOSYS, "not_supported"),
            (libc::ESRCH, "vmm_failed"),
            (libc::EFAULT, "vmm_failed"),
        ] {
            assert_eq!(refused(&io::Error::from_raw_os_error(errno)).code, code);
        }
    }

    #[test]
    fn a_transfer_goes_on_where_it_was_cut_short() {
        let vector = |base: usize, len| libc::iovec {
            iov_base: base as *mut libc::c_void,
            iov_len: len,
        };
        let mut vectors = [vector(0x1000, 100), vector(0x5000, 100)];
        let left = skip(&mut vectors, 130);
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].iov_base as usize, left[0].iov_len), (0x501e, 70));
        assert!(skip(&mut vectors[1..], 70).is_empty());
    }
}
