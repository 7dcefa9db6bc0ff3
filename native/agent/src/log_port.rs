use crate::cri::{self, Lines};
use crate::out_queue::OutQueue;
use crate::session::Exit;
use crate::{clock, sys};
use std::os::fd::{AsRawFd, OwnedFd};

/// Bytes that may wait here before whoever prints has to wait too.
const FULL: usize = 256 * 1024;

/// The output of the root workload on its way to the host's log.
pub struct LogPort {
    port: Option<OwnedFd>,
    /// What has been printed and is no line of the log yet, with its channel and when it came.
    fresh: Vec<(u8, u64, Vec<u8>)>,
    fresh_bytes: usize,
    queue: OutQueue,
    stdout: Lines,
    stderr: Lines,
}

impl LogPort {
    pub fn new(port: Option<OwnedFd>) -> LogPort {
        LogPort {
            port,
            fresh: Vec::new(),
            fresh_bytes: 0,
            queue: OutQueue::default(),
            stdout: Lines::new("stdout"),
            stderr: Lines::new("stderr"),
        }
    }

    pub fn fd(&self) -> Option<i32> {
        self.port.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Whether output should wait. Only for a host that listens: without one, what does not fit is given up.
    pub fn full(&self) -> bool {
        self.queue.len() + self.fresh_bytes > FULL
    }

    /// `channel` as in the protocol: 1 stdout, 2 stderr. It is written by [`LogPort::write`]: whoever reads it live comes first.
    pub fn output(&mut self, channel: u8, bytes: &[u8]) {
        self.fresh_bytes += bytes.len();
        self.fresh
            .push((channel, clock::now_nanos(), bytes.to_vec()));
    }

    pub fn write(&mut self) {
        self.fresh_bytes = 0;
        for (channel, at, bytes) in std::mem::take(&mut self.fresh) {
            let mut text = Vec::with_capacity(bytes.len() + 128);
            let lines = if channel == 1 {
                &mut self.stdout
            } else {
                &mut self.stderr
            };
            lines.push(&bytes, at, &mut text);
            self.push(text);
        }
    }

    pub fn exit(&mut self, id: &str, exit: &Exit) {
        self.write();
        let mut text = Vec::new();
        self.stdout.finish(&mut text);
        self.stderr.finish(&mut text);
        cri::line(
            &mut text,
            &clock::rfc3339(clock::now_nanos()),
            "exit",
            'F',
            exit_json(id, exit).as_bytes(),
        );
        self.push(text);
    }

    fn push(&mut self, text: Vec<u8>) {
        if self.port.is_some() && !text.is_empty() {
            self.queue.push(text);
            self.flush();
        }
    }

    pub fn flush(&mut self) {
        if let Some(port) = &self.port {
            self.queue.flush(port.as_raw_fd());
            if self.full() && sys::hung_up(port.as_raw_fd()) {
                self.queue.clear();
            }
        }
    }

    pub fn is_drained(&self) -> bool {
        (self.queue.is_empty() && self.fresh.is_empty()) || self.fd().is_none_or(sys::hung_up)
    }
}

fn exit_json(id: &str, exit: &Exit) -> String {
    let id: String = id.chars().flat_map(char::escape_default).collect();
    let signal = exit
        .signal_name()
        .map_or(String::new(), |name| format!(r#","signal":"{name}""#));
    format!(
        r#"{{"id":"{id}","code":{}{signal},"oom":{}}}"#,
        exit.code, exit.oom
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_is_told_as_json() {
        let exit = Exit {
            code: 137,
            signal: Some(9),
            oom: true,
        };
        assert_eq!(
            exit_json("root", &exit),
            r#"{"id":"root","code":137,"signal":"SIGKILL","oom":true}"#
        );
        let exit = Exit {
            code: 0,
            signal: None,
            oom: false,
        };
        assert_eq!(
            exit_json("root", &exit),
            r#"{"id":"root","code":0,"oom":false}"#
        );
    }
}
