/// splitmix64: small, and good enough to hit every branch. The same as in the protocol's own tests.
pub struct Random(u64);

/// Bytes at which readers of numbers and lengths change their minds.
const EDGES: [u8; 12] = [
    0, 1, 0x1f, 0x20, 0x37, 0x38, 0x5f, 0x7f, 0x80, 0x9b, 0xbb, 0xff,
];

/// Edits of one input at most.
const MOST_EDITS: usize = 4;

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let most = (length - start).min(64);
        start..start + self.below(most + 1)
    }

    /// Damages bytes in a few places; none is one of them.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.below(MOST_EDITS + 1) {
            let at = self.below(bytes.len());
            let range = self.range(bytes.len());
            match self.below(7) {
                _ if bytes.is_empty() => bytes.push(self.next() as u8),
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = *self.of(&EDGES),
                2 => bytes[at] = self.next() as u8,
                3 => bytes.truncate(at),
                4 => drop(bytes.drain(range)),
                5 => {
                    let copied = bytes[range].to_vec();
                    bytes.splice(at..at, copied);
                }
                // A length that nothing can have.
                _ => bytes[range].fill(0xff),
            }
        }
    }
}
