//! Which pages have to be looked at.

use super::batch::Batch;
use super::seen::Share;
use super::target::Target;
use crate::failure::Failure;

/// In pages: what `/proc/PID/pagemap` is asked for at once. 2 MiB.
const BLOCK: u64 = 512;

/// Goes through the pages of a share that may differ from the mapped file: the VMM's own, and those that once were.
pub struct Walk {
    next: u64,
    entries: [u8; BLOCK as usize * 8],
}

impl Walk {
    pub fn new(share: &Share) -> Walk {
        Walk {
            next: share.first,
            entries: [0; BLOCK as usize * 8],
        }
    }

    /// The next pages with what is in them. False where there are no more.
    pub fn fill(
        &mut self,
        target: &Target,
        share: &mut Share,
        batch: &mut Batch,
    ) -> Result<bool, Failure> {
        batch.clear();
        while self.next < share.end() && batch.room() > 0 {
            let at = (self.next - share.first) % BLOCK;
            let end = (self.next + BLOCK - at).min(share.end());
            if at == 0 {
                self.look(target, share, end)?;
            }
            while self.next < end && batch.room() > 0 {
                if share.has(self.next) {
                    batch.push(self.next, 1);
                }
                self.next += 1;
            }
        }
        let (runs, bytes) = batch.parts();
        target.read(runs, bytes)?;
        Ok(batch.pages() > 0)
    }

    /// Marks what is the VMM's own from the next page on. What is marked already need not be looked for.
    fn look(&mut self, target: &Target, share: &mut Share, end: u64) -> Result<(), Failure> {
        let pages = self.next..end;
        if pages.clone().all(|page| share.has(page)) {
            return Ok(());
        }
        let entries = &mut self.entries[..(end - self.next) as usize * 8];
        target.entries(self.next, entries)?;
        for (page, entry) in pages.zip(entries.chunks_exact(8)) {
            if is_own(entry) {
                share.mark(page);
            }
        }
        Ok(())
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
