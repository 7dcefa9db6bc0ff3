//! What has changed since memory was saved: counted, written beside it, put back.

use super::batch::{Batch, Run, MOST, PAGE};
use super::compare::Comparison;
use super::delta_file::{self, Header};
use super::seen::Seen;
use super::sparse::{open_base, Partial};
use super::target::Target;
use super::{Range, Watch};
use crate::failure::Failure;
use serde::Deserialize;
use serde_json::{json, Value};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Deserialize)]
pub struct Differ {
    #[serde(flatten)]
    pub range: Range,
    base: PathBuf,
    most_pages: u64,
}

#[derive(Deserialize)]
pub struct Delta {
    #[serde(flatten)]
    pub range: Range,
    base: PathBuf,
    into: PathBuf,
    most_pages: u64,
}

#[derive(Deserialize)]
pub struct Apply {
    #[serde(flatten)]
    pub range: Range,
    delta: PathBuf,
}

pub fn differ(
    differ: &Differ,
    target: &Target,
    seen: &mut Seen,
    watch: &Watch,
) -> Result<Value, Failure> {
    let base = open_base(&differ.base, differ.range.bytes)?;
    let pages = AtomicU64::new(0);
    each_difference(&base, &differ.base, target, seen, watch, |run| {
        let before = pages.fetch_add(run.pages, Ordering::Relaxed);
        before + run.pages <= differ.most_pages
    })?;
    let pages = pages.into_inner().min(differ.most_pages.saturating_add(1));
    Ok(json!({"pages": pages}))
}

/// Twice through: the numbers come first in the file, and nothing is written where there are too many.
pub fn delta(
    delta: &Delta,
    target: &Target,
    seen: &mut Seen,
    watch: &Watch,
) -> Result<Value, Failure> {
    if delta.most_pages > delta_file::MOST_PAGES {
        let why = format!("most_pages is over {}", delta_file::MOST_PAGES);
        return Err(Failure::new("invalid_request", why));
    }
    let base = open_base(&delta.base, delta.range.bytes)?;
    let numbers = Mutex::new(Vec::new());
    each_difference(&base, &delta.base, target, seen, watch, |run| {
        let mut numbers = numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.extend(run.numbers());
        numbers.len() as u64 <= delta.most_pages
    })?;
    let mut numbers = numbers.into_inner().unwrap_or_else(PoisonError::into_inner);
    numbers.sort_unstable();
    if numbers.len() as u64 > delta.most_pages {
        let why = format!("more than {} pages differ", delta.most_pages);
        return Err(Failure::new("conflict", why));
    }
    let into = Partial::create(&delta.into)?;
    let header = delta_file::header(&numbers);
    into.file.write_all_at(&header, 0).map_err(into.failed())?;
    let (mut at, mut batch) = (header.len() as u64, Batch::new());
    for some in numbers.chunks(MOST as usize) {
        watch.check()?;
        put(&mut batch, some);
        let (runs, bytes) = batch.parts();
        target.read(runs, bytes)?;
        into.file.write_all_at(bytes, at).map_err(into.failed())?;
        at += bytes.len() as u64;
    }
    into.finish()?;
    Ok(json!({"pages": numbers.len(), "bytes": at}))
}

/// Nothing is written before everything has been looked at.
pub fn apply(apply: &Apply, target: &Target, watch: &Watch) -> Result<Value, Failure> {
    let path = &apply.delta;
    let failed = |error| Failure::saved_state(path, &error);
    let file = File::open(path).map_err(failed)?;
    let Header { numbers, mut at } = delta_file::read(&file, path, target.pages)?;
    let mut batch = Batch::new();
    for some in numbers.chunks(MOST as usize) {
        watch.check()?;
        put(&mut batch, some);
        let (runs, bytes) = batch.parts();
        file.read_exact_at(bytes, at).map_err(failed)?;
        target.write(runs, bytes)?;
        at += some.len() as u64 * PAGE;
    }
    Ok(json!({"pages": numbers.len()}))
}

fn put(batch: &mut Batch, numbers: &[u64]) {
    batch.clear();
    for number in numbers {
        batch.push(*number, 1);
    }
}

/// Tells each run of pages that are not as in the file, from several threads and in any order, until it is told to stop.
fn each_difference(
    base: &File,
    path: &Path,
    target: &Target,
    seen: &mut Seen,
    watch: &Watch,
    tell: impl Fn(Run) -> bool + Sync,
) -> Result<(), Failure> {
    let failed = |error| Failure::saved_state(path, &error);
    let found = base.metadata().map_err(failed)?;
    let comparison = Comparison {
        target,
        watch,
        file: base,
        failed,
    };
    comparison.each(seen.shares_of(&found)?, |_, changed| Ok(tell(changed.run)))
}
