use crate::value::Value;
use std::fmt;

/// The codes an agent answers with; a subset of the project's error table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    CommandNotFound,
    CommandNotExecutable,
    UserNotFound,
    PathNotFound,
    ArchiveInvalid,
    ArchiveHostile,
    DiskFull,
    BootFailed,
    InvalidRequest,
    NotFound,
    Conflict,
    Cancelled,
    NotSupported,
    GuestError,
}

impl Code {
    pub fn as_str(self) -> &'static str {
        match self {
            Code::CommandNotFound => "command_not_found",
            Code::CommandNotExecutable => "command_not_executable",
            Code::UserNotFound => "user_not_found",
            Code::PathNotFound => "path_not_found",
            Code::ArchiveInvalid => "archive_invalid",
            Code::ArchiveHostile => "archive_hostile",
            Code::DiskFull => "disk_full",
            Code::BootFailed => "boot_failed",
            Code::InvalidRequest => "invalid_request",
            Code::NotFound => "not_found",
            Code::Conflict => "conflict",
            Code::Cancelled => "cancelled",
            Code::NotSupported => "not_supported",
            Code::GuestError => "guest_error",
        }
    }
}

/// An error as it is told to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    pub code: Code,
    pub message: String,
    pub errno: Option<i32>,
    /// Of a failed boot: `modules`, `disks`, ….
    pub stage: Option<&'static str>,
}

impl WireError {
    pub fn new(code: Code, message: impl Into<String>) -> WireError {
        WireError {
            code,
            message: message.into(),
            errno: None,
            stage: None,
        }
    }

    pub fn with_errno(mut self, errno: Option<i32>) -> WireError {
        self.errno = errno;
        self
    }

    pub fn at_stage(mut self, stage: &'static str) -> WireError {
        self.stage = Some(stage);
        self
    }

    pub fn to_value(&self) -> Value {
        let mut fields = vec![
            ("code", Value::from(self.code.as_str())),
            ("message", Value::from(self.message.as_str())),
        ];
        if let Some(errno) = self.errno {
            fields.push(("errno", Value::from(i64::from(errno))));
        }
        if let Some(stage) = self.stage {
            fields.push(("stage", Value::from(stage)));
        }
        Value::map(fields)
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for WireError {}
