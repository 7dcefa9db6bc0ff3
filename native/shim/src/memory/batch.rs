//! Pages on their way: up to 512 KiB of them, in the order of their numbers.

use std::ops::Range;

pub const PAGE: u64 = 4096;
/// In pages: so few that they are still in the processor's own cache when they are looked at.
pub const MOST: u64 = 128;

/// Neighbouring pages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    pub first: u64,
    pub pages: u64,
}

impl Run {
    pub fn offset(&self) -> u64 {
        self.first * PAGE
    }

    pub fn bytes(&self) -> usize {
        (self.pages * PAGE) as usize
    }

    pub fn numbers(&self) -> Range<u64> {
        self.first..self.first + self.pages
    }
}

pub struct Batch {
    runs: Vec<Run>,
    pages: u64,
    buffer: Vec<u8>,
}

impl Batch {
    pub fn new() -> Batch {
        Batch {
            runs: Vec::with_capacity(MOST as usize),
            pages: 0,
            buffer: vec![0; (MOST * PAGE) as usize],
        }
    }

    pub fn clear(&mut self) {
        self.runs.clear();
        self.pages = 0;
    }

    /// Pages come in rising order, and no more than `room`.
    pub fn push(&mut self, first: u64, pages: u64) {
        self.pages += pages;
        match self.runs.last_mut() {
            Some(run) if run.first + run.pages == first => run.pages += pages,
            _ => self.runs.push(Run { first, pages }),
        }
    }

    pub fn room(&self) -> u64 {
        MOST - self.pages
    }

    pub fn pages(&self) -> u64 {
        self.pages
    }

    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..(self.pages * PAGE) as usize]
    }

    /// The runs, and the room for what is in them.
    pub fn parts(&mut self) -> (&[Run], &mut [u8]) {
        let bytes = (self.pages * PAGE) as usize;
        (&self.runs, &mut self.buffer[..bytes])
    }

    /// Gives out neighbours of the same kind together. `kind` is told a page's place in the batch.
    pub fn groups<K: Copy + PartialEq, E>(
        &self,
        kind: impl Fn(usize) -> K,
        mut emit: impl FnMut(K, Run, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut place = 0;
        for run in &self.runs {
            let end = place + run.pages as usize;
            let start = place;
            while place < end {
                let (from, this) = (place, kind(place));
                place += 1;
                while place < end && kind(place) == this {
                    place += 1;
                }
                let group = Run {
                    first: run.first + (from - start) as u64,
                    pages: (place - from) as u64,
                };
                let bytes = from * PAGE as usize..place * PAGE as usize;
                emit(this, group, &self.buffer[bytes])?;
            }
        }
        Ok(())
    }
}

/// The page at that place.
pub fn page(bytes: &[u8], place: usize) -> &[u8] {
    &bytes[place * PAGE as usize..(place + 1) * PAGE as usize]
}

pub fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];
    bytes
        .chunks(PAGE as usize)
        .all(|chunk| *chunk == ZEROS[..chunk.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_a_kind_are_given_out_together_but_not_across_a_gap() {
        let mut batch = Batch::new();
        batch.push(3, 2);
        batch.push(5, 1);
        batch.push(9, 2);
        batch.parts().1.fill(7);
        let mut groups = Vec::new();
        let kind = |place: usize| place == 0;
        let emit = |kind, run: Run, bytes: &[u8]| {
            assert_eq!(bytes.len(), run.bytes());
            groups.push((kind, run.first, run.pages));
            Ok::<(), ()>(())
        };
        batch.groups(kind, emit).unwrap();
        assert_eq!(groups, [(true, 3, 1), (false, 4, 2), (false, 9, 2)]);
    }

    #[test]
    fn zeros_are_zeros_to_the_last_byte() {
        let mut bytes = vec![0; 10_000];
        assert!(is_zero(&bytes));
        bytes[9_999] = 1;
        assert!(!is_zero(&bytes));
    }
}
