//! Looking at exec sessions, without a stream.

use super::methods::{nothing, Answer};
use super::Agent;
use viv_protocol::{Code, Fields, Value, WireError};

/// Bytes of an output in one answer.
const READ_AT_ONCE: usize = 32 * 1024;
/// Bytes of a list after which it goes on in the next answer.
const LISTED_AT_ONCE: usize = 32 * 1024;
/// Questions that wait for more output at a time.
const MOST_AWAITED: usize = 256;

/// More of a session's outputs than up to these offsets.
pub(super) struct Awaited {
    number: u64,
    from: [u64; 2],
}

impl Agent {
    /// Looks at what is held of an output, whoever is attached to it.
    pub(super) fn exec_read(&mut self, fields: &Fields<'_>) -> Answer {
        let channel = match fields.text("stream")? {
            "stdout" => 0,
            "stderr" => 1,
            _ => return Err(no_such_output()),
        };
        let from = fields.uint_if("from")?;
        let (_, session) = self.session(fields)?;
        let finished = session.finished();
        let output = &session.outputs[channel];
        let from = from.unwrap_or(0).clamp(output.start(), output.end());
        let data = output.peek(from, READ_AT_ONCE);
        let over = finished && from + data.len() as u64 == output.end();
        Ok(Value::map(vec![
            ("from", from.into()),
            ("data", Value::Bytes(data)),
            ("over", over.into()),
        ]))
    }

    /// Is answered once more than that has been printed, or nothing more will be.
    pub(super) fn exec_wait(&mut self, stream: u32, fields: &Fields<'_>) -> Result<(), WireError> {
        let from = [fields.uint("stdout")?, fields.uint("stderr")?];
        let (number, _) = self.session(fields)?;
        if self.awaited.len() >= MOST_AWAITED {
            let message = format!("{MOST_AWAITED} questions wait for output already");
            return Err(WireError::new(Code::Conflict, message));
        }
        self.awaited.insert(stream, Awaited { number, from });
        Ok(())
    }

    pub(super) fn tell_awaited(&mut self) {
        let sessions = &self.sessions;
        let answer = |awaited: &Awaited| match sessions.get(&awaited.number) {
            None => Some(Err(WireError::new(
                Code::NotFound,
                "the session has been closed",
            ))),
            Some(session) => {
                let mut outputs = session.outputs.iter().zip(awaited.from);
                let more = outputs.any(|(output, from)| output.end() > from);
                (more || session.finished()).then(nothing)
            }
        };
        let told: Vec<(u32, Answer)> = self
            .awaited
            .iter()
            .filter_map(|(stream, awaited)| Some((*stream, answer(awaited)?)))
            .collect();
        for (stream, answer) in told {
            self.awaited.remove(&stream);
            self.link.respond(stream, &answer);
        }
    }

    /// In the order of their start, as many as fit an answer; the next ones come after `next`.
    pub(super) fn exec_list(&self, fields: &Fields<'_>) -> Answer {
        let from = fields
            .uint_if("after")?
            .map_or(0, |after| after.saturating_add(1));
        let mut bytes = 0;
        let mut listed = Vec::new();
        let mut last = None;
        for (number, session) in self.sessions.range(from..) {
            if session.errand {
                continue;
            }
            if bytes > LISTED_AT_ONCE {
                break;
            }
            let described = session.describe();
            bytes += described.encode().len();
            listed.push(described);
            last = Some(*number);
        }
        let more = last.and_then(|last| self.sessions.range(last + 1..).next().map(|_| last));
        let mut answer = vec![("sessions", Value::Array(listed))];
        answer.extend(more.map(|last| ("next", last.into())));
        Ok(Value::map(answer))
    }

    /// The machine has become a copy: who began these is with the other one. A workload's own session is this one's as well.
    pub(super) fn orphan_sessions(&mut self) {
        for session in self.sessions.values_mut() {
            session.orphaned |= !session.errand && !session.logged;
        }
    }
}

pub(super) fn no_such_output() -> WireError {
    WireError::new(Code::InvalidRequest, "there is no output of that kind")
}
