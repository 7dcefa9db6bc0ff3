//! `viv-shim digest FILE…`: XXH3-128 over the blocks of a file that are not all zeros.

use super::batch::is_zero;
use super::sparse::{data_bytes, next_data};
use crate::failure::Failure;
use serde_json::{json, Value};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use twox_hash::xxhash3_128::Hasher;

const BLOCK: u64 = 1 << 20;

/// What is said of a file, and whether it could be read.
pub fn line(path: &Path) -> (Value, bool) {
    let described = File::open(path).and_then(|file| {
        Ok(json!({
            "file": path.to_string_lossy(),
            "bytes": file.metadata()?.len(),
            "data_bytes": data_bytes(&file)?,
            "digest": digest(&file)?,
        }))
    });
    match described {
        Ok(line) => (line, true),
        Err(error) => {
            let failure = Failure::saved_state(path, &error);
            let line = json!({"file": path.to_string_lossy(), "error": failure.to_json()});
            (line, false)
        }
    }
}

fn digest(file: &File) -> io::Result<String> {
    let length = file.metadata()?.len();
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; BLOCK as usize];
    let mut at = 0;
    while let Some((start, _)) = next_data(file, at)? {
        let number = start / BLOCK;
        let first = number * BLOCK;
        let end = (first + BLOCK).min(length);
        let block = &mut buffer[..(end - first) as usize];
        read_block(file, first, block)?;
        if !is_zero(block) {
            hasher.write(&number.to_le_bytes());
            hasher.write(block);
        }
        at = end;
    }
    Ok(format!("xxh3:{:032x}", hasher.finish_128()))
}

/// Holes are not read: that would fill the page cache with zeros.
fn read_block(file: &File, first: u64, block: &mut [u8]) -> io::Result<()> {
    let end = first + block.len() as u64;
    block.fill(0);
    let mut at = first;
    while let Some((start, stop)) = next_data(file, at)?.filter(|(start, _)| *start < end) {
        at = stop.min(end);
        let piece = &mut block[(start - first) as usize..(at - first) as usize];
        file.read_exact_at(piece, start)?;
    }
    Ok(())
}
