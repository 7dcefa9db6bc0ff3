//! The file `delta`: `VIVDELTA`, u32 version, u32 number of pages; the pages' numbers (u64, rising); the pages. Little-endian.

use super::batch::PAGE;
use crate::failure::Failure;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: &[u8; 8] = b"VIVDELTA";
const VERSION: u32 = 1;
const FIXED: u64 = 16;
/// 32 MiB; where more differ, memory is copied whole.
pub const MOST_PAGES: u64 = 8192;

pub struct Header {
    pub numbers: Vec<u64>,
    /// Where the pages begin.
    pub at: u64,
}

pub fn header(numbers: &[u64]) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend(VERSION.to_le_bytes());
    header.extend((numbers.len() as u32).to_le_bytes());
    header.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    header
}

/// All that is said of the pages, which are themselves only counted. `pages`: how many the guest has.
pub fn read(file: &File, path: &Path, pages: u64) -> Result<Header, Failure> {
    let failed = |error| Failure::saved_state(path, &error);
    let damaged = |why: &str| Failure::damaged(path, why);
    let mut fixed = [0; FIXED as usize];
    file.read_exact_at(&mut fixed, 0).map_err(failed)?;
    let word =
        |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let count = u64::from(word(12));
    if &fixed[..8] != MAGIC {
        return Err(damaged("it is no delta"));
    }
    if word(8) != VERSION {
        return Err(damaged(&format!("version {} is not known", word(8))));
    }
    if count > MOST_PAGES {
        return Err(damaged("it has too many pages"));
    }
    let at = FIXED + count * 8;
    if file.metadata().map_err(failed)?.len() != at + count * PAGE {
        return Err(damaged("its length is not that of its pages"));
    }
    let mut bytes = vec![0; (count * 8) as usize];
    file.read_exact_at(&mut bytes, FIXED).map_err(failed)?;
    let numbers: Vec<u64> = bytes
        .chunks_exact(8)
        .map(|number| {
            number
                .iter()
                .rev()
                .fold(0, |all, byte| all << 8 | u64::from(*byte))
        })
        .collect();
    if numbers.windows(2).any(|two| two[0] >= two[1]) {
        return Err(damaged("its pages are out of order"));
    }
    if numbers.last().is_some_and(|last| *last >= pages) {
        return Err(damaged("a page lies outside the memory"));
    }
    Ok(Header { numbers, at })
}
