use std::collections::VecDeque;

/// Bytes an output is held for at least: what a client that lost its connection goes on from.
pub const HELD: usize = 1 << 20;

/// The last bytes of an output, known by their offset from its beginning.
#[derive(Default)]
pub struct Ring {
    bytes: VecDeque<u8>,
    start: u64,
}

impl Ring {
    /// Offset of the oldest byte held.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Offset of the next byte to come.
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Takes new bytes and lets the oldest go that are beyond [`HELD`].
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let excess = self.bytes.len().saturating_sub(HELD);
        self.bytes.drain(..excess);
        self.start += excess as u64;
    }

    /// Appends up to `most` bytes from offset `from` on.
    pub fn copy_to(&self, from: u64, most: usize, out: &mut Vec<u8>) {
        let skip = usize::try_from(from.saturating_sub(self.start))
            .unwrap_or(usize::MAX)
            .min(self.bytes.len());
        let count = most.min(self.bytes.len() - skip);
        let (front, back) = self.bytes.as_slices();
        let head = front.get(skip..).unwrap_or(&[]);
        let head = &head[..head.len().min(count)];
        out.extend_from_slice(head);
        let at = skip.saturating_sub(front.len());
        out.extend_from_slice(&back[at..at + count - head.len()]);
    }

    /// Gives memory back that a burst has taken.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(ring: &Ring, from: u64, most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        ring.copy_to(from, most, &mut out);
        out
    }

    #[test]
    fn bytes_are_found_by_their_offset() {
        let mut ring = Ring::default();
        ring.push(b"hello ");
        ring.push(b"world");
        assert_eq!(held(&ring, 6, 100), b"world");
        assert_eq!(held(&ring, 3, 4), b"lo w");
        assert_eq!(held(&ring, 11, 4), b"");
        assert_eq!((ring.start(), ring.end()), (0, 11));
    }

    #[test]
    fn the_oldest_bytes_go_first_and_offsets_stay_true_across_the_seam() {
        let mut ring = Ring::default();
        let mut all = Vec::new();
        for round in 0u32..40 {
            let piece: Vec<u8> = (0..50_000u32)
                .map(|i| (i.wrapping_mul(31) ^ round) as u8)
                .collect();
            ring.push(&piece);
            all.extend_from_slice(&piece);
            let start = ring.start() as usize;
            assert_eq!(ring.end() as usize, all.len());
            assert!(all.len() - start <= HELD);
            for from in [start, start + 1, start + HELD / 2, all.len() - 1] {
                if from < all.len() && from >= start {
                    assert_eq!(
                        held(&ring, from as u64, 70_000),
                        &all[from..all.len().min(from + 70_000)]
                    );
                }
            }
        }
    }
}
