//! Why a launch or a request failed, with a code of the project's error table.

use serde_json::{json, Value};
use std::io;
use std::path::Path;

#[derive(Debug)]
pub struct Failure {
    pub code: &'static str,
    pub message: String,
}

impl Failure {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Failure {
            code,
            message: message.into(),
        }
    }

    /// An I/O failure of the shim's own files.
    pub fn io(what: &str, error: &io::Error) -> Self {
        let code = match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => "disk_full",
            _ => "vmm_failed",
        };
        Failure::new(code, format!("{what}: {error}"))
    }

    /// An I/O failure of a file that belongs to a saved state.
    pub fn saved_state(path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Failure::damaged(path, "it is missing"),
            io::ErrorKind::UnexpectedEof => Failure::damaged(path, "it is short"),
            _ => Failure::io(&path.display().to_string(), error),
        }
    }

    pub fn damaged(path: &Path, why: impl std::fmt::Display) -> Self {
        Failure::new("saved_state_damaged", format!("{}: {why}", path.display()))
    }

    pub fn to_json(&self) -> Value {
        json!({"code": self.code, "message": self.message})
    }

    /// The line on stdout in place of the one that tells of success.
    pub fn announcement(&self) -> Value {
        json!({"ok": false, "error": self.to_json()})
    }
}
