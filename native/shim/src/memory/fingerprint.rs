//! What is kept of a page to tell later whether it is still the same, without the page.
//!
//! It is NH, the hash inside UMAC (Black, Halevi, Krawczyk, Krovetz, Rogaway: "UMAC: Fast and Secure Message Authentication",
//! CRYPTO 1999), once with the key and once with the same key moved on, as UMAC does (its Toeplitz construction). Of any two pages that
//! differ, whatever they are, one key in 2^64 at most makes the same of both. A hash that is only fast promises nothing of the kind
//! where somebody chooses the pages, and a guest does; but it can't know the key.

use super::batch::PAGE;
use crate::failure::Failure;
use std::fs::File;
use std::io::Read;

pub type Fingerprint = u128;

/// Of no page. One that comes to it all the same is taken for one of which nothing is known.
pub const UNKNOWN: Fingerprint = 0;

const WORDS: usize = PAGE as usize / 4;
/// In words: how far the key is moved on for the second half. At least a pair, so that the last pair that differs meets words that
/// the first half did not use before.
const SHIFT: usize = 4;
/// In words. The compiler makes vectors of it.
const STEP: usize = 16;

pub struct Key([u32; WORDS + SHIFT]);

impl Key {
    pub fn random() -> Result<Key, Failure> {
        let mut bytes = [0; (WORDS + SHIFT) * 4];
        let read = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
        read.map_err(|error| Failure::io("/dev/urandom", &error))?;
        let mut key = Key([0; WORDS + SHIFT]);
        for (word, bytes) in key.0.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = little_endian(bytes);
        }
        Ok(key)
    }

    pub fn fingerprint(&self, page: &[u8]) -> Fingerprint {
        let mut sums = [[0u64; STEP / 2]; 2];
        for (step, bytes) in page.chunks_exact(STEP * 4).enumerate() {
            for (half, sums) in sums.iter_mut().enumerate() {
                let key = &self.0[step * STEP + half * SHIFT..][..STEP];
                for (pair, sum) in sums.iter_mut().enumerate() {
                    let word = |at| little_endian(&bytes[at * 4..at * 4 + 4]).wrapping_add(key[at]);
                    let product = u64::from(word(pair * 2)) * u64::from(word(pair * 2 + 1));
                    *sum = sum.wrapping_add(product);
                }
            }
        }
        let [low, high] =
            sums.map(|sums| sums.iter().fold(0, |all: u64, sum| all.wrapping_add(*sum)));
        u128::from(high) << 64 | u128::from(low)
    }
}

fn little_endian(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |all, byte| all << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_changes_anywhere_changes_the_fingerprint() {
        let key = Key::random().unwrap();
        let mut page: Vec<u8> = (0..PAGE).map(|at| (at * 7 % 251) as u8).collect();
        for filled in [false, true] {
            if filled {
                page.fill(0);
            }
            let before = key.fingerprint(&page);
            assert_eq!(key.fingerprint(&page.clone()), before);
            for at in 0..page.len() {
                for change in [1, 0x80, 0xff] {
                    page[at] ^= change;
                    let now = key.fingerprint(&page);
                    // Each half for itself.
                    assert_ne!((now >> 64) as u64, (before >> 64) as u64, "{at} {change}");
                    assert_ne!(now as u64, before as u64, "{at} {change}");
                    page[at] ^= change;
                }
            }
        }
    }

    #[test]
    fn bytes_that_change_places_change_the_fingerprint() {
        let key = Key::random().unwrap();
        let page: Vec<u8> = (0..PAGE).map(|at| (at / 4) as u8).collect();
        let before = key.fingerprint(&page);
        for apart in [1, 4, 8, 16, 64, 2048] {
            for at in (0..page.len() - apart).filter(|at| page[*at] != page[at + apart]) {
                let mut other = page.clone();
                other.swap(at, at + apart);
                assert_ne!(key.fingerprint(&other), before, "{at} and {apart} on");
            }
        }
    }

    /// Figures of the definition, written out and not in steps.
    #[test]
    fn it_is_nh_with_the_key_and_with_the_key_moved_on() {
        let key = Key::random().unwrap();
        let page: Vec<u8> = (0..PAGE).map(|at| (at * at % 253) as u8).collect();
        let words: Vec<u32> = page.chunks(4).map(little_endian).collect();
        let nh = |key: &[u32]| {
            (0..words.len()).step_by(2).fold(0u64, |sum, at| {
                let a = words[at].wrapping_add(key[at]);
                let b = words[at + 1].wrapping_add(key[at + 1]);
                sum.wrapping_add(u64::from(a) * u64::from(b))
            })
        };
        let halves = u128::from(nh(&key.0[SHIFT..])) << 64 | u128::from(nh(&key.0));
        assert_eq!(key.fingerprint(&page), halves);
    }

    #[test]
    fn keys_differ() {
        let [one, other] = [(); 2].map(|()| Key::random().unwrap());
        assert_ne!(one.0, other.0);
        assert_ne!(one.fingerprint(&[0; 4096]), other.fingerprint(&[0; 4096]));
    }
}
