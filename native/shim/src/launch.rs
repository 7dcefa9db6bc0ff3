//! `launch.json`: what to run and what to hold for it.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

#[derive(Deserialize)]
pub struct Launch {
    pub format: u32,
    pub instance_id: String,
    /// `{fd:console}`, `{fd:log}` and `{fd:incoming}` are replaced by descriptor numbers.
    pub argv: Vec<String>,
    /// The VMM's whole environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    pub logs: Logs,
    #[serde(default)]
    pub ports: Vec<PublishRequest>,
    /// Opened for the VMM, read-only, at `{fd:incoming}`.
    #[serde(default)]
    pub incoming: Option<PathBuf>,
    /// Files of the VMM's in the directory (its sockets) that are unlinked once it has ended.
    #[serde(default)]
    pub remove: Vec<String>,
    /// Nobody is let in through a published port until it is said.
    #[serde(default)]
    pub hold_ports: bool,
    #[serde(default)]
    pub port_limits: PortLimits,
    /// False: the VMM ends when the shim's stdin is closed.
    pub detached: bool,
}

/// Bytes a second over all published ports; 0: any.
#[derive(Clone, Copy, Default, Deserialize)]
pub struct PortLimits {
    /// To the guest.
    pub download: u64,
    pub upload: u64,
}

#[derive(Clone, Copy, Deserialize)]
pub struct Logs {
    pub max_bytes: u64,
    pub keep: u32,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Binding {
    /// Taken: the launch fails.
    Required,
    /// Taken: a free one is used instead.
    Preferred,
}

#[derive(Clone, Copy, Deserialize)]
pub struct PublishRequest {
    pub host_address: IpAddr,
    pub host_port: u16,
    pub guest_port: u16,
    pub binding: Binding,
}

/// A port as it was really bound.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Published {
    pub host_address: IpAddr,
    pub host_port: u16,
    pub guest_port: u16,
}

/// Reads the file in the working directory. It may hold an environment; it is never large.
pub fn read() -> Result<Launch, Failure> {
    let text =
        std::fs::read_to_string("launch.json").map_err(|e| Failure::io("launch.json", &e))?;
    parse(&text)
}

fn parse(text: &str) -> Result<Launch, Failure> {
    let invalid = |why: String| Failure::new("invalid_request", format!("launch.json: {why}"));
    let launch: Launch = serde_json::from_str(text).map_err(|e| invalid(e.to_string()))?;
    if launch.format != 1 {
        return Err(invalid(format!("format {} is not known", launch.format)));
    }
    if launch.argv.is_empty() {
        return Err(invalid("argv is empty".into()));
    }
    if launch.logs.max_bytes < 4096 {
        return Err(invalid("logs.max_bytes is under 4096".into()));
    }
    if launch
        .remove
        .iter()
        .any(|name| name.is_empty() || name.contains('/') || name.starts_with('.'))
    {
        return Err(invalid(
            "remove takes names of files in the directory".into(),
        ));
    }
    if launch
        .incoming
        .as_ref()
        .is_some_and(|path| !path.is_absolute())
    {
        return Err(invalid("incoming is no absolute path".into()));
    }
    if launch.incoming.is_none() && launch.argv.iter().any(|a| a.contains("{fd:incoming}")) {
        return Err(invalid("{fd:incoming} without incoming".into()));
    }
    let strings = launch
        .argv
        .iter()
        .chain(launch.env.keys())
        .chain(launch.env.values());
    if strings.into_iter().any(|s| s.contains('\0')) {
        return Err(invalid("a NUL in argv or env".into()));
    }
    Ok(launch)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"format":1,"instance_id":"a","argv":["true"],"logs":{"max_bytes":4096,"keep":0},"detached":true}"#;

    #[test]
    fn a_minimal_launch_is_taken() {
        assert_eq!(parse(GOOD).map_err(|f| f.message).unwrap().argv, ["true"]);
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_reason() {
        for (from, to, word) in [
            ("\"format\":1", "\"format\":2", "format 2"),
            ("[\"true\"]", "[]", "argv is empty"),
            ("4096", "10", "max_bytes"),
            (
                "\"detached\"",
                "\"remove\":[\"../a\"],\"detached\"",
                "remove",
            ),
            (
                "\"detached\"",
                "\"incoming\":\"a/b\",\"detached\"",
                "no absolute path",
            ),
            ("\"true\"", "\"{fd:incoming}\"", "without incoming"),
            ("\"true\"", "\"a\\u0000\"", "NUL"),
            ("{\"format\"", "{{", "launch.json"),
        ] {
            let failure = parse(&GOOD.replace(from, to)).err().expect(to);
            assert!(failure.message.contains(word), "{}", failure.message);
        }
    }
}
