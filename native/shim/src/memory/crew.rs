//! Work on the guest's memory is shared by the processors: while the guest stands still nobody else has more use for them.

use super::seen::Share;
use super::worker::STACK;
use crate::failure::Failure;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{available_parallelism, scope, Builder};

/// More are held up by the memory itself.
const MOST: usize = 4;

/// Has each share worked on once, in any order, and goes no further once that has failed or says that it is enough (false). `make`
/// makes what one thread works with. All have ended when this returns.
pub fn work<'a, Tools>(
    shares: impl Iterator<Item = Share<'a>> + Send,
    make: impl Fn() -> Tools + Sync,
    each: impl Fn(&mut Share, &mut Tools) -> Result<bool, Failure> + Sync,
) -> Result<(), Failure> {
    let left = Mutex::new(Some(shares));
    let one = &|| -> Result<(), Failure> {
        let mut tools = make();
        while let Some(mut share) = next(&left) {
            match each(&mut share, &mut tools) {
                Ok(true) => {}
                Ok(false) => *locked(&left) = None,
                Err(failure) => {
                    *locked(&left) = None;
                    return Err(failure);
                }
            }
        }
        Ok(())
    };
    scope(|scope| {
        let spawn = |_| Builder::new().stack_size(STACK).spawn_scoped(scope, one);
        // Where there can be no more threads there are fewer.
        let threads: Vec<_> = (1..threads())
            .map_while(|other| spawn(other).ok())
            .collect();
        let mine = one();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .fold(mine, |all, one| all.and(one))
    })
}

fn threads() -> usize {
    available_parallelism().map_or(1, NonZero::get).min(MOST)
}

fn next<'a>(left: &Mutex<Option<impl Iterator<Item = Share<'a>>>>) -> Option<Share<'a>> {
    locked(left).as_mut().and_then(Iterator::next)
}

fn locked<T>(left: &Mutex<T>) -> MutexGuard<'_, T> {
    left.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::seen::{Seen, SHARE};
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Condvar;
    use std::time::Duration;

    fn seen(shares: u64) -> Seen {
        let mut seen = Seen::default();
        seen.of(4096, shares * SHARE);
        seen
    }

    #[test]
    fn each_share_is_worked_on_once() {
        let mut seen = seen(50);
        let done = Mutex::new(Vec::new());
        let each = |share: &mut Share, mine: &mut u64| {
            *mine += 1;
            done.lock().unwrap().push(share.first / SHARE);
            Ok(true)
        };
        work(seen.shares().unwrap(), || 0, each).unwrap();
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert_eq!(done, (0..50).collect::<Vec<u64>>());
    }

    #[test]
    fn every_processor_has_a_thread() {
        let threads = threads();
        let mut seen = seen(threads as u64);
        let (here, all_are) = (Mutex::new(0), Condvar::new());
        let each = |_: &mut Share, (): &mut ()| {
            let mut here = here.lock().unwrap();
            *here += 1;
            all_are.notify_all();
            // Nobody gets past it alone.
            let patience = Duration::from_secs(10);
            let (_here, waited) = all_are
                .wait_timeout_while(here, patience, |here| *here < threads)
                .unwrap();
            assert!(!waited.timed_out());
            Ok(true)
        };
        work(seen.shares().unwrap(), || (), each).unwrap();
    }

    #[test]
    fn nothing_more_is_begun_once_it_is_enough_or_has_failed() {
        for fails in [false, true] {
            let mut seen = seen(1000);
            let begun = AtomicUsize::new(0);
            let each = |_: &mut Share, (): &mut ()| {
                begun.fetch_add(1, Ordering::Relaxed);
                match fails {
                    true => Err(Failure::new("disk_full", "no room")),
                    false => Ok(false),
                }
            };
            let outcome = work(seen.shares().unwrap(), || (), each);
            assert_eq!(
                outcome.map_err(|failure| failure.code),
                if fails { Err("disk_full") } else { Ok(()) }
            );
            assert!(begun.into_inner() <= threads());
        }
    }
}
