//! Which pages have to be looked at.

use super::batch::Batch;
use super::seen::Seen;
use super::target::Target;
use crate::failure::Failure;

/// Entries of `/proc/PID/pagemap` read at once: 64 MiB of memory.
const WINDOW: u64 = 16 * 1024;

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
}
