//! `viv-shim digest FILE…`, and `memory_digest`: XXH3-128 over the blocks of a file that are not all zeros.

use super::batch::is_zero;
use super::sparse::{data_bytes, next_data};
use super::Watch;
use crate::failure::Failure;
use serde::Deserialize;
use serde_json::{json, Value};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use twox_hash::xxhash3_128::Hasher;

const BLOCK: u64 = 1 << 20;

#[derive(Deserialize)]
pub struct Files {
    files: Vec<PathBuf>,
}

/// All of them, or why one could not be read.
pub fn digests(files: &Files, watch: &Watch) -> Result<Value, Failure> {
    let described = files.files.iter().map(|path| describe(path, watch));
    Ok(json!({"files": described.collect::<Result<Vec<_>, _>>()?}))
}

/// What is said of a file, and whether it could be read.
pub fn line(path: &Path) -> (Value, bool) {
    match describe(path, &Watch::default()) {
        Ok(line) => (line, true),
        Err(failure) => {
            let line = json!({"file": path.to_string_lossy(), "error": failure.to_json()});
            (line, false)
        }
    }
}

fn describe(path: &Path, watch: &Watch) -> Result<Value, Failure> {
    let failed = |error| Failure::saved_state(path, &error);
    let file = File::open(path).map_err(failed)?;
    Ok(json!({
        "file": path.to_string_lossy(),
        "bytes": file.metadata().map_err(failed)?.len(),
        "data_bytes": data_bytes(&file).map_err(failed)?,
        "digest": digest(&file, watch, failed)?,
    }))
}

fn digest(
    file: &File,
    watch: &Watch,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<String, Failure> {
    let length = file.metadata().map_err(&failed)?.len();
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; BLOCK.min(length) as usize];
    let mut at = 0;
    while let Some((start, _)) = next_data(file, at).map_err(&failed)? {
        watch.check()?;
        let number = start / BLOCK;
        let first = number * BLOCK;
        let end = (first + BLOCK).min(length);
        let block = &mut buffer[..(end - first) as usize];
        read_block(file, first, block).map_err(&failed)?;
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
