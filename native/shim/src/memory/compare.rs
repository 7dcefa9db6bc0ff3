//! The VMM's memory beside a file that it was copied to.

use super::batch::{is_zero, page, Batch, Run, PAGE};
use super::crew;
use super::seen::Share;
use super::target::Target;
use super::walk::Walk;
use super::Watch;
use crate::failure::Failure;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Neighbours that are not as in the file, with what the VMM has there.
pub struct Difference<'a> {
    pub run: Run,
    pub bytes: &'a [u8],
    /// Nothing but zeros.
    pub zero: bool,
}

pub struct Comparison<'a, Failed> {
    pub target: &'a Target,
    pub watch: &'a Watch,
    pub file: &'a File,
    /// What it means that the file can't be read.
    pub failed: Failed,
}

/// One thread's.
struct Tools {
    batch: Batch,
    /// Of each page of the batch: whether its fingerprint is known, and whether it is the same.
    known: Vec<bool>,
    same: Vec<bool>,
    /// What the file has, where that has to be read.
    before: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Same,
    Zero,
    Changed,
}

impl<Failed: Fn(io::Error) -> Failure + Sync> Comparison<'_, Failed> {
    /// Tells each difference, from several threads and in any order, until one is told that it is enough (false).
    pub fn each<'s>(
        &self,
        shares: impl Iterator<Item = Share<'s>> + Send,
        tell: impl Fn(&mut Share, Difference) -> Result<bool, Failure> + Sync,
    ) -> Result<(), Failure> {
        crew::work(shares, Tools::new, |share, tools| {
            let mut walk = Walk::new(share);
            while walk.fill(self.target, share, &mut tools.batch)? {
                self.watch.check()?;
                self.compare(share, tools).map_err(&self.failed)?;
                let told = tools.differences(|difference| match tell(share, difference) {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(None),
                    Err(failure) => Err(Some(failure)),
                });
                match told {
                    Ok(()) => {}
                    Err(None) => return Ok(false),
                    Err(Some(failure)) => return Err(failure),
                }
            }
            Ok(true)
        })
    }

    /// With what is known of the file; where that is nothing, with the file, which is known from then on.
    fn compare(&self, share: &mut Share, tools: &mut Tools) -> io::Result<()> {
        let Tools {
            batch,
            known,
            same,
            before,
        } = tools;
        let numbers = batch.runs().iter().flat_map(|run| run.numbers());
        known.clear();
        known.extend(numbers.map(|number| share.is_known(number)));
        same.clear();
        batch.groups(
            |place| known[place],
            |known, run, now| {
                if known {
                    let is = |(number, now)| share.is(number, now);
                    same.extend(run.numbers().zip(pages(now)).map(is));
                    return Ok(());
                }
                before.resize(now.len(), 0);
                self.file.read_exact_at(before, run.offset())?;
                share.learn(run, before);
                same.extend(
                    pages(now)
                        .zip(pages(before))
                        .map(|(now, before)| now == before),
                );
                Ok(())
            },
        )
    }
}

impl Tools {
    fn new() -> Tools {
        Tools {
            batch: Batch::new(),
            known: Vec::new(),
            same: Vec::new(),
            before: Vec::new(),
        }
    }

    fn differences<E>(&self, mut tell: impl FnMut(Difference) -> Result<(), E>) -> Result<(), E> {
        let kind = |place| {
            if self.same[place] {
                Kind::Same
            } else if is_zero(page(self.batch.bytes(), place)) {
                Kind::Zero
            } else {
                Kind::Changed
            }
        };
        self.batch.groups(kind, |kind, run, bytes| match kind {
            Kind::Same => Ok(()),
            _ => tell(Difference {
                run,
                bytes,
                zero: kind == Kind::Zero,
            }),
        })
    }
}

fn pages(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks_exact(PAGE as usize)
}
