//! Feeds mutated bytes to whatever in the guest reads what a host sends: the agent's half of the protocol, the bodies of
//! requests, and archives. Looks for panics, for memory or answers out of proportion to the input, and for readers that
//! don't get on. Run: `viv-fuzz [seconds=5] [seed]`; the seed of a failure is printed and repeats it.

// The agent is a program and no library; not all of it is used here.
#[allow(dead_code)]
#[path = "../../agent/src/link.rs"]
mod link;
#[allow(dead_code)]
#[path = "../../agent/src/out_port.rs"]
mod out_port;
#[allow(dead_code)]
#[path = "../../agent/src/out_queue.rs"]
mod out_queue;
#[allow(dead_code)]
#[path = "../../agent/src/sys.rs"]
mod sys;
#[allow(dead_code, unused_imports)]
#[path = "../../agent/src/tar/mod.rs"]
mod tar;

mod archives;
mod bodies;
mod corpus;
mod memory;
mod random;
mod wire;

use corpus::Corpus;
use random::Random;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What became of an input.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Taken,
    Refused,
}

/// Something that reads.
struct Target {
    name: &'static str,
    run: fn(&mut Random, &Corpus) -> Outcome,
    /// Takes every so many-th seed: all get about the same time.
    every: u64,
}

const TARGETS: [Target; 3] = [
    Target {
        name: "streams",
        run: wire::run,
        every: 32,
    },
    Target {
        name: "bodies",
        run: bodies::run,
        every: 1,
    },
    Target {
        name: "archives",
        run: archives::run,
        every: 1,
    },
];

/// One input is at most some hundred KiB.
const SLOW: Duration = Duration::from_secs(1);

static SEED: AtomicU64 = AtomicU64::new(0);

fn argument(at: usize) -> Option<u64> {
    let text = std::env::args().nth(at)?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => {
            eprintln!("usage: viv-fuzz [SECONDS] [SEED]");
            std::process::exit(2);
        }
    }
}

fn main() {
    let seconds = argument(1).unwrap_or(5);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let first = argument(2).unwrap_or_else(|| now.map_or(1, |now| now.as_millis() as u64));
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |about| {
        eprintln!("seed {} failed", SEED.load(Ordering::Relaxed));
        usual(about);
    }));
    let corpus = Corpus::read();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut counts = [[0u64; 2]; TARGETS.len()];
    let mut seed = first;
    while Instant::now() < end {
        SEED.store(seed, Ordering::Relaxed);
        for (target, count) in TARGETS.iter().zip(&mut counts) {
            if seed % target.every == 0 {
                let before = Instant::now();
                let outcome = (target.run)(&mut Random::new(seed), &corpus);
                count[usize::from(outcome == Outcome::Refused)] += 1;
                assert!(before.elapsed() < SLOW, "slow");
            }
        }
        seed += 1;
    }
    println!("seeds {first} to {}", seed - 1);
    for (Target { name, .. }, [taken, refused]) in TARGETS.iter().zip(counts) {
        println!("{name}: {taken} taken, {refused} refused");
    }
}
