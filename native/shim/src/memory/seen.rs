//! What is remembered of a range for the VMM's life: which pages were ever seen to be the VMM's own, and what a file has of them.
//!
//! A page that the VMM gives back (MADV_DONTNEED) falls back to the mapped file and is no longer anonymous, but a copy made before
//! still has what was in it. So such pages are compared too. One bit for a page, and 16 bytes for one that was copied or compared.

use super::batch::{Run, PAGE};
use super::fingerprint::{Fingerprint, Key, UNKNOWN};
use crate::failure::Failure;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// In pages: 16 MiB.
pub const SHARE: u64 = 4096;

#[derive(Default)]
pub struct Seen {
    address: u64,
    pages: u64,
    bits: Vec<u64>,
    /// Device and inode of the file that `memory_copy` made and `memory_update` has not finished.
    unfinished: Option<(u64, u64)>,
    known: Option<Known>,
}

/// What is in a file.
struct Known {
    /// None while it is being written.
    file: Option<Identity>,
    /// Another one for each file.
    key: Box<Key>,
    /// As long as the range; pages of it that nobody wrote to take no memory.
    fingerprints: Vec<Fingerprint>,
}

/// Device, inode, and seconds and nanoseconds of the last change of what is in it.
type Identity = (u64, u64, i64, i64);

/// A part of the range, for one thread.
pub struct Share<'a> {
    pub first: u64,
    bits: &'a mut [u64],
    key: &'a Key,
    fingerprints: &'a mut [Fingerprint],
}

impl Seen {
    /// Forgets everything where the range is another than before.
    pub fn of(&mut self, address: u64, pages: u64) {
        if (self.address, self.pages) != (address, pages) {
            *self = Seen {
                address,
                pages,
                bits: vec![0; pages.div_ceil(64) as usize],
                unfinished: None,
                known: None,
            };
        }
    }

    pub fn set_unfinished(&mut self, file: Option<&Metadata>) {
        self.unfinished = file.map(|file| (file.dev(), file.ino()));
    }

    pub fn is_unfinished(&self, file: &Metadata) -> bool {
        self.unfinished == Some((file.dev(), file.ino()))
    }

    /// The whole range, for a file of which nothing is known.
    pub fn shares(&mut self) -> Result<impl Iterator<Item = Share<'_>> + Send, Failure> {
        // Given back before there is another.
        self.known = None;
        let known = self.known.insert(Known::nothing(self.pages)?);
        Ok(shares(&mut self.bits, known))
    }

    /// The whole range, with what is known of that file.
    pub fn shares_of(
        &mut self,
        file: &Metadata,
    ) -> Result<impl Iterator<Item = Share<'_>> + Send, Failure> {
        let file = Some(identity(file));
        let mut known = match self.known.take().filter(|known| known.file == file) {
            Some(known) => known,
            None => Known::nothing(self.pages)?,
        };
        known.file = file;
        let known = self.known.insert(known);
        Ok(shares(&mut self.bits, known))
    }

    /// Whose pages they are that are known now. None: a file's that is not to be asked for any more.
    pub fn set_known(&mut self, file: Option<&Metadata>) {
        if let Some(known) = &mut self.known {
            known.file = file.map(identity);
        }
    }
}

impl Known {
    fn nothing(pages: u64) -> Result<Known, Failure> {
        Ok(Known {
            file: None,
            key: Box::new(Key::random()?),
            fingerprints: vec![UNKNOWN; pages as usize],
        })
    }
}

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino(), file.mtime(), file.mtime_nsec())
}

fn shares<'a>(bits: &'a mut [u64], known: &'a mut Known) -> impl Iterator<Item = Share<'a>> + Send {
    let Known {
        key, fingerprints, ..
    } = known;
    let bits = bits.chunks_mut((SHARE / 64) as usize);
    let fingerprints = fingerprints.chunks_mut(SHARE as usize);
    let key = &**key;
    let parts = (0..).step_by(SHARE as usize).zip(bits.zip(fingerprints));
    parts.map(move |(first, (bits, fingerprints))| Share {
        first,
        bits,
        key,
        fingerprints,
    })
}

/// Pages are told by their numbers in the whole range.
impl Share<'_> {
    pub fn end(&self) -> u64 {
        self.first + self.fingerprints.len() as u64
    }

    pub fn has(&self, page: u64) -> bool {
        let at = page - self.first;
        self.bits[(at / 64) as usize] & (1 << (at % 64)) != 0
    }

    pub fn mark(&mut self, page: u64) {
        let at = page - self.first;
        self.bits[(at / 64) as usize] |= 1 << (at % 64);
    }

    pub fn is_known(&self, page: u64) -> bool {
        self.fingerprints[(page - self.first) as usize] != UNKNOWN
    }

    /// Whether the page that is known has these bytes.
    pub fn is(&self, page: u64, bytes: &[u8]) -> bool {
        self.fingerprints[(page - self.first) as usize] == self.key.fingerprint(bytes)
    }

    /// That the file has these bytes in these pages.
    pub fn learn(&mut self, run: Run, bytes: &[u8]) {
        let at = (run.first - self.first) as usize;
        let places = self.fingerprints[at..at + run.pages as usize].iter_mut();
        for (place, bytes) in places.zip(bytes.chunks_exact(PAGE as usize)) {
            *place = self.key.fingerprint(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn marks_are_kept_until_the_range_changes() {
        let mut seen = Seen::default();
        seen.of(4096, 130);
        let mut mark = seen.shares().unwrap().next().unwrap();
        for page in [0, 63, 64, 129] {
            mark.mark(page);
        }
        seen.of(4096, 130);
        let marked = |seen: &mut Seen| {
            let share = seen.shares().unwrap().next().unwrap();
            (0..share.end())
                .filter(|page| share.has(*page))
                .collect::<Vec<u64>>()
        };
        assert_eq!(marked(&mut seen), [0, 63, 64, 129]);
        seen.of(8192, 130);
        assert!(marked(&mut seen).is_empty());
    }

    #[test]
    fn shares_are_all_of_the_range_and_none_of_it_twice() {
        for pages in [
            1,
            63,
            SHARE - 1,
            SHARE,
            SHARE + 1,
            3 * SHARE + 64,
            3 * SHARE + 65,
        ] {
            let mut seen = Seen::default();
            seen.of(4096, pages);
            let mut next = 0;
            for mut share in seen.shares().unwrap() {
                assert_eq!(share.first, next);
                next = share.end();
                share.mark(next - 1);
            }
            assert_eq!(next, pages);
        }
    }

    #[test]
    fn what_is_known_is_of_one_file_and_its_content() {
        let path = std::env::temp_dir().join(format!("viv-seen-{}", std::process::id()));
        let other = File::open("/proc/self/exe").unwrap().metadata().unwrap();
        std::fs::write(&path, "one").unwrap();
        let file = std::fs::metadata(&path).unwrap();
        let run = Run { first: 2, pages: 1 };
        let mut seen = Seen::default();
        seen.of(4096, 10);
        let is_known = |seen: &mut Seen, file: &Metadata| {
            seen.shares_of(file).unwrap().next().unwrap().is_known(2)
        };
        for forget in [false, true] {
            let mut shares = seen.shares().unwrap();
            shares.next().unwrap().learn(run, &[7; PAGE as usize]);
            drop(shares);
            seen.set_known(Some(&file));
            assert!(is_known(&mut seen, &file));
            let share = seen.shares_of(&file).unwrap().next().unwrap();
            assert!(share.is(2, &[7; PAGE as usize]) && !share.is(2, &[8; PAGE as usize]));
            assert!(!share.is_known(1) && !share.is_known(3));
            if forget {
                seen.set_known(None);
            } else {
                assert!(!is_known(&mut seen, &other));
            }
            assert!(!is_known(&mut seen, &file));
        }
        std::fs::write(&path, "two").unwrap();
        let changed = std::fs::metadata(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(!is_known(&mut seen, &changed));
    }
}
