//! What remains to be done once the VMM has ended.

use crate::files::{self, remove_if_there, write_durably};
use crate::handover;
use crate::start::{CONSOLE_SOCKET, CONTROL_SOCKET};
use crate::supervisor::{poll, Ended, Source, Supervisor};
use crate::vmm::exit_fields;
use serde_json::Value;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Where another process still holds an end of the VMM's outputs, draining them stops here.
const DRAIN: Duration = Duration::from_millis(500);
/// How long the last words may take to reach a slow client.
const FAREWELL: Duration = Duration::from_secs(1);

impl Supervisor {
    /// What the VMM and the guest said last is in the logs before anyone hears of the end.
    pub fn drain(&mut self, ended: &mut Ended, scratch: &mut [u8]) {
        let deadline = Instant::now() + DRAIN;
        loop {
            let mut sources = Vec::new();
            for (source, fd, over) in [
                (
                    Source::Console,
                    self.streams.console.as_raw_fd(),
                    ended.console,
                ),
                (Source::Log, self.streams.log.as_raw_fd(), ended.log),
                (
                    Source::Output,
                    self.streams.output.as_raw_fd(),
                    ended.output,
                ),
            ] {
                if !over {
                    sources.push((source, fd, libc::POLLIN));
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if sources.is_empty() || left.is_zero() {
                return;
            }
            for (source, _) in poll(&sources, left.as_millis() as i32 + 1) {
                self.read_output(source, ended, scratch);
            }
        }
    }

    pub fn finish(mut self, status: i32) -> ExitCode {
        let mut exit = exit_fields(status);
        exit.insert("at".into(), files::now().into());
        exit.insert("stderr".into(), self.logs.vmm.tail().into());
        let exit = Value::Object(exit);
        // One that ends with its launcher is known to it by a pipe, which the launcher closes at our end: it binds them anew.
        if let (Some(hold_ms), false) = (self.keep_ports, self.watch_stdin) {
            // Where it can't be, whoever comes is refused until then.
            let _ = handover::leave(&self.ports, hold_ms);
        }
        let written = write_durably("exit.json", &exit);
        for name in self
            .remove
            .iter()
            .map(String::as_str)
            .chain([CONSOLE_SOCKET, CONTROL_SOCKET])
        {
            let _ = remove_if_there(name);
        }
        self.control.announce_exit(&exit);
        let deadline = Instant::now() + FAREWELL;
        while self.control.is_behind() && Instant::now() < deadline {
            let waiting: Vec<_> = self
                .control
                .interests()
                .map(|(_, fd, _)| ((), fd, libc::POLLOUT))
                .collect();
            poll(&waiting, 50);
            self.control.flush();
        }
        drop(self.lock);
        if written.is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
