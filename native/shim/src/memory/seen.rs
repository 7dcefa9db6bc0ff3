//! Which pages were ever seen to be the VMM's own, and where they were copied to last.
//!
//! A page that the VMM gives back (MADV_DONTNEED) falls back to the mapped file and is no longer anonymous, but a copy made before
//! still has what was in it. So such pages are compared too. One bit for a page, kept for the VMM's life.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

#[derive(Default)]
pub struct Seen {
    address: u64,
    pages: u64,
    bits: Vec<u64>,
    /// Device and inode of the file that `memory_copy` made and `memory_update` has not finished.
    unfinished: Option<(u64, u64)>,
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
            };
        }
    }

    pub fn has(&self, page: u64) -> bool {
        let word = self.bits.get((page / 64) as usize);
        word.is_some_and(|word| word & (1 << (page % 64)) != 0)
    }

    pub fn mark(&mut self, page: u64) {
        if let Some(word) = self.bits.get_mut((page / 64) as usize) {
            *word |= 1 << (page % 64);
        }
    }

    pub fn set_unfinished(&mut self, file: Option<&Metadata>) {
        self.unfinished = file.map(|file| (file.dev(), file.ino()));
    }

    pub fn is_unfinished(&self, file: &Metadata) -> bool {
        self.unfinished == Some((file.dev(), file.ino()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_kept_until_the_range_changes() {
        let mut seen = Seen::default();
        seen.of(4096, 130);
        for page in [0, 63, 64, 129] {
            seen.mark(page);
        }
        seen.of(4096, 130);
        let marked: Vec<u64> = (0..200).filter(|page| seen.has(*page)).collect();
        assert_eq!(marked, [0, 63, 64, 129]);
        seen.of(8192, 130);
        assert!(!seen.has(63));
    }
}
