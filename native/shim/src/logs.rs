//! The files that guest and VMM output goes to. A write that fails (a full disk) loses those bytes and nothing else:
//! the VM must go on.

use crate::launch::Logs;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};

/// A line that does not end is cut this many bytes after the file should have been rotated.
const MAX_OVERRUN: u64 = 64 * 1024;

pub struct RotatingLog {
    name: &'static str,
    file: File,
    size: u64,
    limits: Logs,
    /// Rotate only where a line ends.
    whole_lines: bool,
}

impl RotatingLog {
    pub fn open(name: &'static str, limits: Logs, whole_lines: bool) -> io::Result<RotatingLog> {
        let file = append(name)?;
        let size = file.metadata()?.len();
        Ok(RotatingLog {
            name,
            file,
            size,
            limits,
            whole_lines,
        })
    }

    pub fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let take = self.fits(bytes);
            let (now, later) = bytes.split_at(take);
            if self.file.write_all(now).is_ok() {
                self.size += now.len() as u64;
            }
            bytes = later;
            let ended = !self.whole_lines || now.last() == Some(&b'\n');
            if self.size >= self.limits.max_bytes + if ended { 0 } else { MAX_OVERRUN } {
                self.rotate();
            }
        }
    }

    /// How many of the bytes still belong in this file.
    fn fits(&self, bytes: &[u8]) -> usize {
        let room = self
            .limits
            .max_bytes
            .saturating_sub(self.size)
            .min(bytes.len() as u64) as usize;
        if room == bytes.len() {
            return room;
        }
        if !self.whole_lines {
            return room.max(1);
        }
        match bytes[room.saturating_sub(1)..]
            .iter()
            .position(|b| *b == b'\n')
        {
            Some(end) => room.saturating_sub(1) + end + 1,
            None => bytes.len().min(room + MAX_OVERRUN as usize),
        }
    }

    /// Where it can't be done the old file is emptied instead: the bound on disk space holds in any case.
    fn rotate(&mut self) {
        let rotated = self.shift().and_then(|()| append(self.name));
        match rotated {
            Ok(file) => self.file = file,
            Err(_) => {
                let _ = self.file.set_len(0);
            }
        }
        self.size = 0;
    }

    fn shift(&self) -> io::Result<()> {
        if self.limits.keep == 0 {
            return fs::remove_file(self.name);
        }
        for n in (1..self.limits.keep).rev() {
            let from = format!("{}.{n}", self.name);
            if fs::exists(&from)? {
                fs::rename(from, format!("{}.{}", self.name, n + 1))?;
            }
        }
        fs::rename(self.name, format!("{}.1", self.name))
    }
}

fn append(name: &str) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(name)
}

/// The VMM's own words: at most `MAX`, the oldest are given up, and the last ones are kept for the exit record.
pub struct CappedLog {
    file: File,
    size: u64,
    tail: Vec<u8>,
}

impl CappedLog {
    const MAX: u64 = 1024 * 1024;
    const TAIL: usize = 4096;

    pub fn open(name: &str) -> io::Result<CappedLog> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(name)?;
        let size = file.seek(SeekFrom::End(0))?;
        Ok(CappedLog {
            file,
            size,
            tail: Vec::new(),
        })
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let surplus = self.tail.len().saturating_sub(Self::TAIL);
        self.tail.drain(..surplus);
        if self.size + bytes.len() as u64 > Self::MAX && self.drop_older_half().is_err() {
            let _ = self.file.set_len(0);
            self.size = 0;
        }
        if self
            .file
            .seek(SeekFrom::Start(self.size))
            .and_then(|_| self.file.write_all(bytes))
            .is_ok()
        {
            self.size += bytes.len() as u64;
        }
    }

    fn drop_older_half(&mut self) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let mut chunk = [0u8; 8192];
        let (mut from, mut to) = (self.size - self.size.min(Self::MAX / 2), 0u64);
        loop {
            let n = self.file.read_at(&mut chunk, from)?;
            if n == 0 {
                break;
            }
            self.file.write_all_at(&chunk[..n], to)?;
            from += n as u64;
            to += n as u64;
        }
        self.file.set_len(to)?;
        self.size = to;
        Ok(())
    }

    /// What this VMM said last, at most 4 KiB.
    pub fn tail(&self) -> String {
        String::from_utf8_lossy(&self.tail).into_owned()
    }
}
