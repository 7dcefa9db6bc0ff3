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
        let start_time = viv_unix::start_time(&stat).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc/PID/stat")
        })?;
        Ok(Identity {
            pid,
            start_time,
            boot_id: boot_id.trim().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_an_identity() {
        let pid = std::process::id() as i32;
        let identity = Identity::of(pid).unwrap();
        assert_eq!(identity.pid, pid);
        assert!(identity.start_time > 0);
        assert_eq!(identity.boot_id.len(), 36);
    }
}
