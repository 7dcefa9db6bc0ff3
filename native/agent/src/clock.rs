use crate::kmsg;
use std::{fs, io};

const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// Wall clock, nanoseconds since 1970.
pub fn now_nanos() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

pub fn set(nanos: u64) -> io::Result<()> {
    let time = libc::timespec {
        tv_sec: (nanos / 1_000_000_000) as i64,
        tv_nsec: (nanos % 1_000_000_000) as i64,
    };
    // SAFETY: one live struct.
    crate::sys::check(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &time) })?;
    Ok(())
}

/// Has the kernel count time by another device. Answers what it counts by from now on: one that it does not have is passed over.
pub fn go_by(source: &str) -> String {
    let changed = fs::write(SOURCE, source).and_then(|()| fs::read_to_string(SOURCE));
    let now = changed.unwrap_or_else(|error| {
        kmsg::fail(&format!("the clock source {source}: {error}"));
        String::new()
    });
    now.trim().to_owned()
}

/// `2026-01-02T03:04:05.678901234Z`
pub fn rfc3339(nanos: u64) -> String {
    let seconds = nanos / 1_000_000_000;
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z",
        nanos % 1_000_000_000
    )
}

/// Year, month and day of a day counted from 1970-01-01, by walking years and months of the Gregorian calendar.
fn civil(mut days: u64) -> (u64, usize, u64) {
    let leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    // 400 years are always 146,097 days; what is left is at most 400 steps.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(
            rfc3339(1_767_323_045_678_901_234),
            "2026-01-02T03:04:05.678901234Z"
        );
        assert_eq!(
            rfc3339(951_782_400_000_000_000),
            "2000-02-29T00:00:00.000000000Z"
        );
        assert_eq!(
            rfc3339(4_107_542_399_000_000_000),
            "2100-02-28T23:59:59.000000000Z"
        );
    }
}
