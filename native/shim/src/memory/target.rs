//! The VMM's memory: what is known of its pages, and what is in them.
//!
//! The VMM is our child and is not reaped while this is in use, so its pid is its own.

use super::batch::{Run, PAGE};
use super::range::Backing;
use super::Range;
use crate::failure::Failure;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

pub struct Target {
    pid: i32,
    pub address: u64,
    pub pages: u64,
    pub backing: Backing,
    pagemap: File,
    /// `/proc/PID/mem`, opened once the faster calls turn out to be missing.
    memory: OnceLock<File>,
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
            memory: OnceLock::new(),
        })
    }

    /// What `/proc/PID/pagemap` says of pages from there on, 8 bytes each.
    pub fn entries(&self, first: u64, into: &mut [u8]) -> Result<(), Failure> {
        let at = (self.address / PAGE + first) * 8;
        self.pagemap
            .read_exact_at(into, at)
            .map_err(|error| refused(&error))
    }

    pub fn read(&self, runs: &[Run], into: &mut [u8]) -> Result<(), Failure> {
        self.transfer(libc::SYS_process_vm_readv, runs, into.as_mut_ptr())
    }

    pub fn write(&self, runs: &[Run], from: &mut [u8]) -> Result<(), Failure> {
        self.transfer(libc::SYS_process_vm_writev, runs, from.as_mut_ptr())
    }

    /// Moves all runs between the VMM and one buffer that is as long as they are together.
    fn transfer(&self, call: i64, runs: &[Run], buffer: *mut u8) -> Result<(), Failure> {
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
        while done < total && self.memory.get().is_none() {
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
    fn fall_back(&self, error: &io::Error) -> Result<(), Failure> {
        match error.raw_os_error() {
            Some(libc::EINTR | libc::EAGAIN) => Ok(()),
            Some(libc::ENOSYS | libc::EPERM) => {
                let mut options = OpenOptions::new();
                let file = options
                    .read(true)
                    .write(true)
                    .open(format!("/proc/{}/mem", self.pid));
                // Another thread may have been first.
                let _ = self.memory.set(file.map_err(|error| refused(&error))?);
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
        let Some(memory) = self.memory.get() else {
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

    /// Pages of this very process.
    fn own_pages(pages: usize) -> (Target, &'static mut [u8]) {
        let bytes = pages * PAGE as usize;
        let mode = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping that is never removed.
        let memory = unsafe {
            let address = libc::mmap(std::ptr::null_mut(), bytes, mode, flags, -1, 0);
            assert_ne!(address, libc::MAP_FAILED);
            std::slice::from_raw_parts_mut(address.cast::<u8>(), bytes)
        };
        let range = Range {
            address: memory.as_ptr() as u64,
            bytes: bytes as u64,
        };
        let target = Target::open(std::process::id() as i32, &range);
        (target.map_err(|failure| failure.message).unwrap(), memory)
    }

    #[test]
    fn memory_is_moved_the_same_through_the_calls_and_through_the_file() {
        for refusal in [None, Some(libc::EPERM), Some(libc::ENOSYS)] {
            let (target, memory) = own_pages(8);
            if let Some(errno) = refusal {
                let error = io::Error::from_raw_os_error(errno);
                assert!(target.fall_back(&error).is_ok() && target.memory.get().is_some());
            }
            let runs = [Run { first: 1, pages: 2 }, Run { first: 6, pages: 1 }];
            let page = PAGE as usize;
            memory[page] = 1;
            memory[3 * page - 1] = 2;
            memory[6 * page] = 3;
            let mut moved = vec![9; 3 * page];
            assert!(target.read(&runs, &mut moved).is_ok());
            assert_eq!((moved[0], moved[2 * page - 1], moved[2 * page]), (1, 2, 3));
            moved.fill(7);
            assert!(target.write(&runs, &mut moved).is_ok());
            let written = |page: &[u8]| page.iter().all(|byte| *byte == 7);
            let pages: Vec<bool> = memory.chunks(page).map(written).collect();
            let run = [false, true, true, false, false, false, true, false];
            assert_eq!(pages, run);
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
