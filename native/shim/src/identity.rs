//! Who a process is: its pid alone would not do, pids are reused.

use serde::Serialize;
use std::{fs, io};

#[derive(Clone, Debug, Serialize)]
pub struct Identity {
    pub pid: i32,
    /// Field 22 of /proc/PID/stat, clock ticks after boot.
    pub start_time: u64,
    pub boot_id: String,
}

impl Identity {
    pub fn of(pid: i32) -> io::Result<Identity> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let start_time = start_time(&stat).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc/PID/stat")
        })?;
        Ok(Identity {
            pid,
            start_time,
            boot_id: boot_id.trim().to_owned(),
        })
    }
}

/// The name in field 2 may hold spaces and brackets; the fields after its last bracket are counted.
fn start_time(stat: &str) -> Option<u64> {
    let rest = &stat[stat.rfind(')')? + 1..];
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_process_name_does_not_shift_the_fields() {
        let fields: Vec<String> = (4..=30).map(|n| n.to_string()).collect();
        let stat = format!("77 (a) S 1 (b) ) S {}", fields.join(" "));
        assert_eq!(start_time(&stat), Some(22));
    }

    #[test]
    fn this_process_has_an_identity() {
        let pid = std::process::id() as i32;
        let identity = Identity::of(pid).unwrap();
        assert_eq!(identity.pid, pid);
        assert!(identity.start_time > 0);
        assert_eq!(identity.boot_id.len(), 36);
    }
}
