//! What has changed since memory was saved: counted, written beside it, put back.

use super::batch::{page, Batch, MOST, PAGE};
use super::delta_file::{self, Header};
use super::seen::Seen;
use super::sparse::{open_base, read_runs, Partial};
use super::target::Target;
use super::walk::Walk;
use super::{Range, Watch};
use crate::failure::Failure;
use serde::Deserialize;
use serde_json::{json, Value};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

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
    target: &mut Target,
    seen: &mut Seen,
    watch: &Watch,
) -> Result<Value, Failure> {
    let base = open_base(&differ.base, differ.range.bytes)?;
    let mut pages = 0;
    each_difference(&base, &differ.base, target, seen, watch, |_| {
        pages += 1;
        pages <= differ.most_pages
    })?;
    Ok(json!({"pages": pages}))
}

/// Twice through: the numbers come first in the file, and nothing is written where there are too many.
pub fn delta(
    delta: &Delta,
    target: &mut Target,
    seen: &mut Seen,
    watch: &Watch,
) -> Result<Value, Failure> {
    if delta.most_pages > delta_file::MOST_PAGES {
        let why = format!("most_pages is over {}", delta_file::MOST_PAGES);
        return Err(Failure::new("invalid_request", why));
    }
    let base = open_base(&delta.base, delta.range.bytes)?;
    let mut numbers = Vec::new();
    each_difference(&base, &delta.base, target, seen, watch, |number| {
        numbers.push(number);
        numbers.len() as u64 <= delta.most_pages
    })?;
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
pub fn apply(apply: &Apply, target: &mut Target, watch: &Watch) -> Result<Value, Failure> {
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

/// Tells the number of each page that is not as in the file, until it is told to stop.
fn each_difference(
    base: &File,
    path: &Path,
    target: &mut Target,
    seen: &mut Seen,
    watch: &Watch,
    mut tell: impl FnMut(u64) -> bool,
) -> Result<(), Failure> {
    let (mut walk, mut batch) = (Walk::new(), Batch::new());
    let mut before = vec![0; batch.capacity()];
    while walk.fill(target, seen, &mut batch)? {
        watch.check()?;
        read_runs(base, batch.runs(), &mut before)
            .map_err(|error| Failure::saved_state(path, &error))?;
        let same = |place| page(batch.bytes(), place) == page(&before, place);
        let told = batch.groups(same, |same, run, _| {
            let mut pages = run.first..run.first + run.pages;
            if same || pages.all(&mut tell) {
                Ok(())
            } else {
                Err(())
            }
        });
        if told.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
