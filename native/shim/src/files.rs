//! Files that must be whole or absent, and the time format they carry.

use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// Written beside, fsynced, renamed into place, and the directory fsynced. Names are relative to the machine's directory.
pub fn write_durably(name: &str, value: &Value) -> io::Result<()> {
    put(name, value, File::sync_all)?;
    File::open(".")?.sync_all()
}

/// Written beside and renamed into place: for what means nothing any more once the host has lost its power.
pub fn write_whole(name: &str, value: &Value) -> io::Result<()> {
    put(name, value, |_| Ok(()))
}

fn put(name: &str, value: &Value, sync: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
    let temporary = format!("{name}.tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(format!("{value}\n").as_bytes())?;
    sync(&file)?;
    fs::rename(&temporary, name)
}

/// Absent is what was wanted.
pub fn remove_if_there(name: &str) -> io::Result<()> {
    match fs::remove_file(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// RFC 3339, UTC, milliseconds.
pub fn now() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    rfc3339(since.as_secs() as i64, since.subsec_millis())
}

fn rfc3339(seconds: i64, millis: u32) -> String {
    // SAFETY: gmtime_r only writes the struct it is given.
    let tm = unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        libc::gmtime_r(&seconds, &mut tm);
        tm
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{millis:03}Z",
        tm.tm_year + 1900,
        tm.tm_mon + 1,
        tm.tm_mday,
        tm.tm_hour,
        tm.tm_min,
        tm.tm_sec
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(rfc3339(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_709_210_096, 7), "2024-02-29T12:34:56.007Z");
    }
}
