//! Exec sessions: a process, what it printed, and the stream that may be reading it. They outlive every connection.

mod input;
mod output;

pub use input::Input;
pub use output::{Output, Polled};

use crate::{signals, sys};
use std::os::fd::OwnedFd;
use viv_protocol::{Code, Kind, Value, WireError};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The exit status, or 128+n for signal n.
    pub code: i32,
    pub signal: Option<i32>,
    pub oom: bool,
}

impl Exit {
    /// From the status of `waitpid`.
    pub fn from_status(status: i32) -> Exit {
        if libc::WIFSIGNALED(status) {
            let signal = libc::WTERMSIG(status);
            return Exit {
                code: 128 + signal,
                signal: Some(signal),
                oom: false,
            };
        }
        Exit {
            code: libc::WEXITSTATUS(status),
            signal: None,
            oom: false,
        }
    }

    pub fn signal_name(&self) -> Option<String> {
        self.signal.map(signals::name)
    }

    /// `code`, `signal` where there was one, `oom` always or only where true.
    pub fn fields(&self, oom_always: bool) -> Vec<(&'static str, Value)> {
        let mut fields = vec![("code", Value::from(i64::from(self.code)))];
        if let Some(name) = self.signal_name() {
            fields.push(("signal", name.into()));
        }
        if oom_always || self.oom {
            fields.push(("oom", self.oom.into()));
        }
        fields
    }
}

pub struct Session {
    pub exec_id: String,
    pub target: String,
    pub argv: Vec<String>,
    /// In the agent's PID namespace.
    pub pid: libc::pid_t,
    pub input: Input,
    /// stdout and stderr.
    pub outputs: [Output; 2],
    /// The master side, where the session has a terminal.
    pub terminal: Option<OwnedFd>,
    pub stream: Option<u32>,
    pub exit: Option<Exit>,
    exit_told: bool,
    /// Its output also goes to the log port.
    pub logged: bool,
    /// The agent runs it on its own account; no host sees it.
    pub errand: bool,
    /// It was begun by another machine, of which this one is a copy.
    pub orphaned: bool,
}

/// Most bytes of output in one frame: half of what a frame can hold keeps others from waiting long.
const FRAME_BYTES: usize = 32 * 1024;
/// Bytes of a command line that a list shows.
const SHOWN_ARGV: usize = 4096;

impl Session {
    pub fn new(
        exec_id: &str,
        target: &str,
        argv: Vec<String>,
        input: Input,
        outputs: [Output; 2],
    ) -> Session {
        Session {
            exec_id: exec_id.to_owned(),
            target: target.to_owned(),
            argv,
            pid: 0,
            input,
            outputs,
            terminal: None,
            stream: None,
            exit: None,
            exit_told: false,
            logged: false,
            errand: false,
            orphaned: false,
        }
    }

    pub fn running(&self) -> bool {
        self.exit.is_none()
    }

    /// The process is gone and all that it printed has been read.
    pub fn finished(&self) -> bool {
        !self.running() && self.outputs.iter().all(Output::ended)
    }

    /// A stream takes the session over, each output from an offset that must still be held.
    pub fn attach(&mut self, stream: u32, from: [Option<u64>; 2]) -> Result<(), WireError> {
        for (output, from) in self.outputs.iter().zip(from) {
            if from.is_some_and(|from| !output.holds(from)) {
                let message = format!(
                    "output of {} is held from {} to {}",
                    self.exec_id,
                    output.start(),
                    output.end()
                );
                return Err(WireError::new(Code::Conflict, message));
            }
        }
        for (output, from) in self.outputs.iter_mut().zip(from) {
            output.attach(from);
        }
        self.input.attach();
        self.exit_told = false;
        self.stream = Some(stream);
        Ok(())
    }

    /// The next frame for the attached stream, laid out with room for its header.
    pub fn next_frame(&mut self) -> Option<(Kind, u8, Vec<u8>)> {
        for (output, channel) in self.outputs.iter_mut().zip(1u8..) {
            if let Some(gap) = output.skip_gap() {
                let fields = vec![
                    ("e", "gap".into()),
                    ("channel", u64::from(channel).into()),
                    ("bytes", gap.into()),
                ];
                return Some((Kind::Event, 0, with_room(&Value::map(fields).encode())));
            }
            if let Some(buffer) = output.next_data(FRAME_BYTES) {
                return Some((Kind::Data, channel, buffer));
            }
            if output.take_eof() {
                return Some((Kind::Eof, channel, with_room(&[])));
            }
        }
        let exit = self
            .exit
            .filter(|_| !self.exit_told && self.outputs.iter().all(Output::eof_told))?;
        self.exit_told = true;
        let mut fields = vec![("e", Value::from("exit"))];
        fields.extend(exit.fields(false));
        Some((Kind::Event, 0, with_room(&Value::map(fields).encode())))
    }

    /// To the process group. It must still run: a pid that has been reaped may be somebody else's.
    pub fn signal(&self, signal: i32) -> Result<(), WireError> {
        if !self.running() {
            return Err(WireError::new(
                Code::Conflict,
                format!("{} has ended already", self.exec_id),
            ));
        }
        if signal == libc::SIGKILL {
            kill_session(self.pid);
            return Ok(());
        }
        sys::kill(-self.pid, signal).map_err(|error| crate::access::guest_error("signal", &error))
    }

    /// A script may be of any length: one that is long is cut, and ends with an ellipsis.
    fn shown_argv(&self) -> Vec<Value> {
        let mut room = SHOWN_ARGV;
        let mut shown = Vec::new();
        for argument in &self.argv {
            let fits = argument.len() <= room;
            let mut end = argument.len().min(room);
            while !argument.is_char_boundary(end) {
                end -= 1;
            }
            room -= end;
            if fits {
                shown.push(argument.as_str().into());
            } else {
                shown.push(format!("{}…", &argument[..end]).into());
                break;
            }
        }
        shown
    }

    pub fn describe(&self) -> Value {
        let mut fields = vec![
            ("execId", Value::from(self.exec_id.as_str())),
            ("target", self.target.as_str().into()),
            ("argv", Value::Array(self.shown_argv())),
            ("running", self.running().into()),
            ("pid", Value::from(i64::from(self.pid))),
            ("tty", self.terminal.is_some().into()),
            ("orphaned", self.orphaned.into()),
            ("stdout", self.outputs[0].held()),
            ("stderr", self.outputs[1].held()),
        ];
        if let Some(exit) = &self.exit {
            fields.push(("exit", Value::map(exit.fields(false))));
        }
        Value::map(fields)
    }
}

fn with_room(payload: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; viv_protocol::HEADER_LEN];
    buffer.extend_from_slice(payload);
    buffer
}

/// SIGKILL to the group and to everything in the session that `leader` leads: job control gives jobs groups of their own.
pub fn kill_session(leader: libc::pid_t) {
    // Gone already is what is wanted.
    let _gone = sys::kill(-leader, libc::SIGKILL);
    // A member may fork between being listed and being killed; few rounds catch the children.
    for _ in 0..4 {
        let members = session_members(leader);
        if members.is_empty() {
            return;
        }
        for pid in members {
            let _gone = sys::kill(pid, libc::SIGKILL);
        }
    }
}

fn session_members(leader: libc::pid_t) -> Vec<libc::pid_t> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<libc::pid_t>().ok());
    pids.filter(|pid| {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
        matches!(state_and_session(&stat), Some((state, session)) if session == leader && state != b'Z')
    })
    .collect()
}

/// Fields 3 and 6 of `/proc/PID/stat`, counted behind the name, which may hold anything.
fn state_and_session(stat: &[u8]) -> Option<(u8, libc::pid_t)> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let fields: Vec<_> = stat
        .get(after_name..)?
        .split(|byte| *byte == b' ')
        .collect();
    let session = std::str::from_utf8(fields.get(3)?).ok()?.parse().ok()?;
    Some((*fields.first()?.first()?, session))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_read_behind_any_process_name() {
        assert_eq!(
            state_and_session(b"12 (a) b (c)) S 1 12 7 0 -1"),
            Some((b'S', 7))
        );
        assert_eq!(state_and_session(b"12 (sh"), None);
    }

    fn session() -> Session {
        Session::new(
            "x",
            "root",
            vec![],
            Input::none(),
            [Output::ended_from_start(), Output::ended_from_start()],
        )
    }

    #[test]
    fn the_exit_comes_after_both_ends() {
        let mut session = session();
        session.attach(5, [None, None]).expect("attach");
        assert_eq!(
            session
                .next_frame()
                .map(|(kind, channel, _)| (kind, channel)),
            Some((Kind::Eof, 1))
        );
        assert_eq!(
            session
                .next_frame()
                .map(|(kind, channel, _)| (kind, channel)),
            Some((Kind::Eof, 2))
        );
        assert!(session.next_frame().is_none());
        session.exit = Some(Exit::from_status(9));
        let (kind, _, buffer) = session.next_frame().expect("exit");
        let body = Value::decode(&buffer[viv_protocol::HEADER_LEN..]).expect("cbor");
        assert_eq!(
            (kind, body.get("code"), body.get("signal")),
            (Kind::Event, Some(&Value::Int(137)), Some(&"SIGKILL".into()))
        );
        assert!(session.next_frame().is_none());
    }

    #[test]
    fn a_long_command_line_is_cut_where_a_character_ends() {
        let mut session = session();
        session.argv = vec!["sh".into(), "-c".into(), "ü".repeat(5000), "rest".into()];
        let described = session.describe();
        let Some(Value::Array(argv)) = described.get("argv") else {
            panic!("no argv")
        };
        assert_eq!(argv.len(), 3);
        assert_eq!(argv[2], format!("{}…", "ü".repeat(2046)).into());
    }

    #[test]
    fn offsets_that_are_not_held_are_a_conflict() {
        let error = session().attach(1, [Some(3), None]).unwrap_err();
        assert_eq!(error.code, Code::Conflict);
    }
}
