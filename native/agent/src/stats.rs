//! What the machine uses, from the kernel's own tables.

use crate::access::guest_error;
use crate::{cgroup, disks, sys};
use std::fs;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use viv_protocol::{Value, WireError};

/// `/proc/stat` counts in hundredths of a second on every Linux.
const NANOS_PER_TICK: u64 = 10_000_000;
/// `/sys/block/*/stat` counts in these, whatever the disk's own sectors are.
const SECTOR: u64 = 512;

/// `cgroups`: of the workloads. `own`: how many processes in them are the agent's. `disks`: names below /sys/block.
pub fn collect(cgroups: &[PathBuf], own: usize, disks: &[String]) -> Result<Value, WireError> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| guest_error(path, &error));
    let memory = read("/proc/meminfo")?;
    let (total, available) = (kib(&memory, "MemTotal:"), kib(&memory, "MemAvailable:"));
    let (received, sent) = network(&read("/proc/net/dev")?);
    let (disk_total, disk_used) = root_usage();
    let (disk_read, disk_written) = disks
        .iter()
        .map(|name| traffic(name))
        .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    let processes = cgroups
        .iter()
        .map(|path| cgroup::count_processes(path))
        .sum::<usize>()
        .saturating_sub(own);
    Ok(Value::map(vec![
        (
            "cpuNanos",
            (busy_ticks(&read("/proc/stat")?) * NANOS_PER_TICK).into(),
        ),
        (
            "memory",
            Value::map(vec![
                ("total", total.into()),
                ("used", total.saturating_sub(available).into()),
                ("available", available.into()),
            ]),
        ),
        (
            "disk",
            Value::map(vec![
                ("total", disk_total.into()),
                ("used", disk_used.into()),
                ("read", disk_read.into()),
                ("written", disk_written.into()),
            ]),
        ),
        (
            "network",
            Value::map(vec![("received", received.into()), ("sent", sent.into())]),
        ),
        ("processes", (processes as u64).into()),
    ]))
}

fn kib(meminfo: &str, key: &str) -> u64 {
    let value = meminfo.lines().find_map(|line| {
        line.strip_prefix(key)?
            .split_whitespace()
            .next()?
            .parse::<u64>()
            .ok()
    });
    value.unwrap_or(0) * 1024
}

/// user, nice, system, irq, softirq and steal; not idle and iowait.
fn busy_ticks(stat: &str) -> u64 {
    let Some(line) = stat.lines().find_map(|line| line.strip_prefix("cpu ")) else {
        return 0;
    };
    let numbers: Vec<u64> = line
        .split_whitespace()
        .map(|number| number.parse().unwrap_or(0))
        .collect();
    [0, 1, 2, 5, 6, 7]
        .iter()
        .filter_map(|index| numbers.get(*index))
        .sum()
}

/// Bytes received and sent by every card but `lo`.
fn network(table: &str) -> (u64, u64) {
    let rows = table
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.trim() != "lo");
    rows.fold((0, 0), |(received, sent), (_, row)| {
        let numbers: Vec<u64> = row
            .split_whitespace()
            .map(|number| number.parse().unwrap_or(0))
            .collect();
        (
            received + numbers.first().unwrap_or(&0),
            sent + numbers.get(8).unwrap_or(&0),
        )
    })
}

fn root_usage() -> (u64, u64) {
    let about = fs::File::open(disks::OVERLAY_DISK)
        .and_then(|directory| sys::stat_fs(directory.as_raw_fd()));
    about.map_or((0, 0), |about| {
        let block = u64::try_from(about.f_bsize).unwrap_or(0);
        (
            about.f_blocks * block,
            about.f_blocks.saturating_sub(about.f_bfree) * block,
        )
    })
}

fn traffic(disk: &str) -> (u64, u64) {
    let text = fs::read_to_string(format!("/sys/block/{disk}/stat")).unwrap_or_default();
    let numbers: Vec<u64> = text
        .split_whitespace()
        .map(|number| number.parse().unwrap_or(0))
        .collect();
    (
        numbers.get(2).unwrap_or(&0) * SECTOR,
        numbers.get(6).unwrap_or(&0) * SECTOR,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        assert_eq!(busy_ticks("cpu  10 1 5 100 50 2 3 4 0 0\ncpu0 1 1 1\n"), 25);
        assert_eq!(
            kib(
                "MemTotal:  2048 kB\nMemAvailable: 1024 kB\n",
                "MemAvailable:"
            ),
            1_048_576
        );
        let table = "h|h\nh|h\n    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: 100 1 0 0 0 0 0 0 200 2 0\n";
        assert_eq!(network(table), (100, 200));
        assert_eq!(
            (busy_ticks(""), kib("", "MemTotal:"), network("")),
            (0, 0, (0, 0))
        );
    }
}
