//! A rate, kept over tenths of a second.

use std::time::Instant;

/// What may be carried at once after a pause, in parts of a second's worth.
const BURST: f64 = 0.1;
/// And never less than so much, in bytes: a slow port still carries whole packets.
const LEAST: f64 = 4096.0;

pub struct Bucket {
    /// Bytes a second; 0: any.
    rate: f64,
    level: f64,
    filled: Instant,
}

impl Bucket {
    pub fn new(rate: u64) -> Self {
        Bucket {
            rate: rate as f64,
            level: 0.0,
            filled: Instant::now(),
        }
    }

    pub fn fill(&mut self, now: Instant) {
        let most = (self.rate * BURST).max(LEAST);
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.level = (self.level + passed * self.rate).min(most);
        self.filled = now;
    }

    /// Bytes that may be read now. Little is as good as nothing: it is saved up.
    pub fn budget(&self) -> usize {
        if self.rate == 0.0 {
            usize::MAX
        } else if self.level < LEAST / 4.0 {
            0
        } else {
            self.level as usize
        }
    }

    pub fn is_empty(&self) -> bool {
        self.budget() == 0
    }

    pub fn spend(&mut self, bytes: usize) {
        if self.rate > 0.0 {
            self.level -= bytes as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_second_carries_its_rate_and_a_pause_is_made_up_for_in_part_only() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(100_000);
        let mut carried = 0;
        for step in 1..=100 {
            bucket.fill(begin + Duration::from_millis(10 * step));
            let bytes = bucket.budget();
            bucket.spend(bytes);
            carried += bytes;
        }
        assert!((95_000..=105_000).contains(&carried), "{carried}");
        bucket.fill(begin + Duration::from_secs(100));
        assert_eq!(bucket.budget(), 10_000);
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut bucket = Bucket::new(0);
        bucket.spend(1 << 40);
        assert!(!bucket.is_empty());
    }
}
