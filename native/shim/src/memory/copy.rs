//! A guest's RAM into a sparse file: most of it while the guest runs, the rest while it stands still.

use super::batch::{is_zero, page, Batch};
use super::compare::{Comparison, Difference};
use super::range::Backing;
use super::seen::Seen;
use super::sparse::{clear, copy_data, data_bytes, open_base, Partial};
use super::target::Target;
use super::walk::Walk;
use super::{Range, Watch};
use crate::failure::Failure;
use serde::Deserialize;
use serde_json::{json, Value};
use std::fs::{Metadata, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Deserialize)]
pub struct Copy {
    #[serde(flatten)]
    pub range: Range,
    base: Option<PathBuf>,
    into: PathBuf,
}

#[derive(Deserialize)]
pub struct Update {
    #[serde(flatten)]
    pub range: Range,
    into: PathBuf,
}

/// A hole shorter than this, in pages, is not worth the time while the guest stands still.
const WORTH_A_HOLE: u64 = 16;

pub fn copy(
    copy: &Copy,
    target: &Target,
    seen: &mut Seen,
    watch: &Watch,
) -> Result<Value, Failure> {
    if (target.backing == Backing::File) != copy.base.is_some() {
        let why = "base is the file that is mapped there, and only where one is";
        return Err(Failure::new("invalid_request", why));
    }
    let bytes = copy.range.bytes;
    let base = match &copy.base {
        Some(path) => Some((open_base(path, bytes)?, path)),
        None => None,
    };
    let into = Partial::create(&copy.into)?;
    into.file.set_len(bytes).map_err(into.failed())?;
    if let Some((base, path)) = &base {
        copy_data(base, path, &into, watch)?;
    }
    let (mut batch, mut pages) = (Batch::new(), 0);
    for mut share in seen.shares()? {
        let mut walk = Walk::new(&share);
        while walk.fill(target, &mut share, &mut batch)? {
            watch.check()?;
            pages += batch.pages();
            let kind = |place| is_zero(page(batch.bytes(), place));
            let written = batch.groups(kind, |zero, run, bytes| {
                share.learn(run, bytes);
                if zero {
                    clear(&into.file, run, bytes)
                } else {
                    into.file.write_all_at(bytes, run.offset())
                }
            });
            written.map_err(into.failed())?;
        }
    }
    let data_bytes = data_bytes(&into.file).map_err(into.failed())?;
    let made = into.file.metadata().map_err(into.failed())?;
    seen.set_unfinished(Some(&made));
    seen.set_known(Some(&made));
    into.keep();
    Ok(json!({"pages": pages, "data_bytes": data_bytes}))
}

/// In the guest's pause: whatever can be left out is left out.
pub fn update(
    update: &Update,
    target: &Target,
    seen: &mut Seen,
    watch: &Watch,
) -> Result<Value, Failure> {
    let (into, found) = open_unfinished(update, seen)?;
    let pages = AtomicU64::new(0);
    let comparison = Comparison {
        target,
        watch,
        file: &into.file,
        failed: |error| into.failed()(error),
    };
    let compared = comparison.each(seen.shares_of(&found)?, |share, changed| {
        let Difference { run, bytes, zero } = changed;
        let written = if zero && run.pages >= WORTH_A_HOLE {
            clear(&into.file, run, bytes)
        } else {
            into.file.write_all_at(bytes, run.offset())
        };
        written.map_err(into.failed())?;
        share.learn(run, bytes);
        pages.fetch_add(run.pages, Ordering::Relaxed);
        Ok(true)
    });
    // Unless all goes well there is no such file any more.
    seen.set_known(None);
    compared?;
    let made = into.file.metadata().map_err(into.failed())?;
    into.finish()?;
    seen.set_unfinished(None);
    seen.set_known(Some(&made));
    Ok(json!({"pages": pages.into_inner()}))
}

/// Only what this shim has copied from this range: what it does not know of, it cannot bring up to date.
fn open_unfinished(update: &Update, seen: &Seen) -> Result<(Partial, Metadata), Failure> {
    let path = &update.into;
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW);
    let file = options
        .open(path)
        .map_err(|error| Failure::saved_state(path, &error))?;
    let found = file
        .metadata()
        .map_err(|error| Failure::saved_state(path, &error))?;
    if !seen.is_unfinished(&found) {
        let why = format!(
            "{} is not what memory_copy made last of this range",
            path.display()
        );
        return Err(Failure::new("conflict", why));
    }
    if found.len() != update.range.bytes {
        return Err(Failure::damaged(path, "its length has changed"));
    }
    Ok((Partial::of(path, file), found))
}
