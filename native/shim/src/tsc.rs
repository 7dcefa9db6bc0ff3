//! `viv-shim tsc`: how fast this host's time stamp counter counts, which under software emulation is how fast a guest's does.

use serde_json::{json, Value};

/// One line: `{"khz"}`, or `{"why"}` where guests can't go by it.
pub fn line() -> Value {
    match measured() {
        Ok(khz) => json!({ "khz": khz }),
        Err(why) => json!({ "why": why }),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn measured() -> Result<u64, &'static str> {
    Err("this processor has none")
}

#[cfg(target_arch = "x86_64")]
fn measured() -> Result<u64, &'static str> {
    if !counter::is_invariant() {
        return Err("it does not count at one rate");
    }
    if !counter::is_trusted() {
        return Err("the kernel of this host does not go by it");
    }
    counter::khz().ok_or("it could not be measured closely enough")
}

#[cfg(target_arch = "x86_64")]
mod counter {
    use std::arch::x86_64::{__cpuid, _mm_lfence, _rdtsc};
    use std::time::Duration;

    const WINDOW: Duration = Duration::from_millis(20);
    /// Windows that are tried for one that is good enough.
    const TRIES: usize = 5;
    /// Reads of both clocks at each end of a window: of a busy host some are interrupted, and the quickest is taken.
    const READS: usize = 64;
    /// Parts per million that a window may be wrong by at most: good enough to look no further, and too much to be of use.
    const GOOD: f64 = 10.0;
    const USELESS: f64 = 50.0;

    /// The same rate whatever the processor's own frequency is, and while it sleeps (CPUID 80000007h, EDX bit 8).
    pub fn is_invariant() -> bool {
        const HIGHEST: u32 = 0x8000_0000;
        const POWER: u32 = 0x8000_0007;
        // SAFETY: every x86-64 has the instruction. Newer compilers know that, the oldest that we build with does not.
        #[allow(unused_unsafe)]
        unsafe {
            __cpuid(HIGHEST).eax >= POWER && __cpuid(POWER).edx & 1 << 8 != 0
        }
    }

    /// What the kernel has found unstable it offers no more. Where it does not tell, the processor is believed.
    pub fn is_trusted() -> bool {
        let file = "/sys/devices/system/clocksource/clocksource0/available_clocksource";
        std::fs::read_to_string(file).map_or(true, |sources| {
            sources.split_whitespace().any(|source| source == "tsc")
        })
    }

    pub fn khz() -> Option<u64> {
        let mut best = Rate {
            khz: 0.0,
            error: f64::INFINITY,
        };
        for _ in 0..TRIES {
            let rate = window();
            if rate.error < best.error {
                best = rate;
            }
            if best.error <= GOOD {
                break;
            }
        }
        (best.error <= USELESS).then_some(best.khz.round() as u64)
    }

    struct Rate {
        khz: f64,
        /// Parts per million it may be wrong by.
        error: f64,
    }

    fn window() -> Rate {
        let from = Instant::now();
        std::thread::sleep(WINDOW);
        let to = Instant::now();
        let ticks = to.ticks.wrapping_sub(from.ticks) as f64;
        Rate {
            khz: ticks * 1e6 / to.nanos.saturating_sub(from.nanos) as f64,
            error: (from.took + to.took) as f64 / 2.0 / ticks * 1e6,
        }
    }

    /// Both clocks at one moment.
    struct Instant {
        ticks: u64,
        nanos: u64,
        /// Ticks between which the moment lies.
        took: u64,
    }

    impl Instant {
        fn now() -> Instant {
            let reads = (0..READS).map(|_| Instant::read());
            reads
                .min_by_key(|read| read.took)
                .unwrap_or_else(Instant::read)
        }

        fn read() -> Instant {
            let before = ticks();
            let nanos = raw_nanos();
            let took = ticks().wrapping_sub(before);
            Instant {
                ticks: before + took / 2,
                nanos,
                took,
            }
        }
    }

    fn ticks() -> u64 {
        // SAFETY: every x86-64 has the instructions. The fences keep what lies between from being moved.
        unsafe {
            _mm_lfence();
            let ticks = _rdtsc();
            _mm_lfence();
            ticks
        }
    }

    /// The one clock that nobody slews.
    fn raw_nanos() -> u64 {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: one live struct; every Linux since 2.6.28 has the clock.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_RAW, &mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn two_measures_agree() {
            if !is_invariant() {
                return;
            }
            let [first, second] = [khz(), khz()].map(|khz| khz.expect("a rate") as f64);
            let apart = (first - second).abs() / first * 1e6;
            assert!(apart < 100.0, "{first} and {second} kHz: {apart} ppm apart");
            assert!((100e3..20e6).contains(&first), "{first} kHz");
        }
    }
}
