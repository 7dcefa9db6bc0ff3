//! What comes from the host over the control port.

use super::{Agent, CONTROL};
use crate::link::{parse_request, Incoming};
use crate::poll::{EDGE, READ, WRITE};
use viv_protocol::{Code, Header, Kind, Value, WireError, HEADER_LEN};

/// Bytes that may wait to be sent before the host is listened to again; only one that asks and never reads gets here.
const UNREAD: usize = 1 << 20;
/// Frames taken in one round before outputs and children get their turn.
const ROUND: usize = 64;

impl Agent {
    pub(super) fn listen(&mut self) {
        for _ in 0..ROUND {
            if self.link.out.len() > UNREAD {
                return;
            }
            match self.link.next(&mut Vec::new) {
                None => return,
                Some(Incoming::Hello) => self.greet(),
                Some(Incoming::Frame(header, buffer)) => {
                    self.accept(header, buffer.get(HEADER_LEN..).unwrap_or(&[]))
                }
            }
        }
        // There may be more, and an edge is only told once: ask for it again.
        if self
            .poll
            .change(self.link.fd(), CONTROL, READ | WRITE | EDGE)
            .is_err()
        {
            crate::kmsg::fail("the control port left the epoll set");
        }
    }

    /// A host has come, perhaps in place of another: sessions live on, streams don't.
    fn greet(&mut self) {
        self.conversation += 1;
        if std::mem::replace(&mut self.epoch, self.link.epoch()) != self.link.epoch() {
            // A tunnel would otherwise hold its program's connection open until the new host wants the bulk port too.
            self.bulk.iter().for_each(crate::bulk::HostLeft::tell);
        }
        self.watches.clear();
        self.awaited.clear();
        for number in std::mem::take(&mut self.streams).into_values() {
            if let Some(session) = self.sessions.get_mut(&number) {
                session.stream = None;
            }
        }
        let boot_id = self.boot_id.clone();
        self.link.welcome(&boot_id, crate::generation::get());
    }

    fn accept(&mut self, header: Header, payload: &[u8]) {
        let stream = header.stream;
        match Kind::from_byte(header.kind) {
            Some(Kind::Request)
                if stream == 0
                    || self.streams.contains_key(&stream)
                    || self.watches.contains_key(&stream)
                    || self.awaited.contains_key(&stream) =>
            {
                let error = WireError::new(
                    Code::InvalidRequest,
                    format!("stream {stream} cannot be opened again"),
                );
                self.link.reset(stream, &error);
            }
            Some(Kind::Request) => match parse_request(payload) {
                Ok((method, parameters)) => self.request(stream, &method, &parameters),
                Err(error) => self.link.respond(stream, &Err(error)),
            },
            Some(Kind::Data) => self.stdin(stream, header.channel(), payload),
            Some(Kind::Eof) => self.stdin_end(stream, header.channel()),
            Some(Kind::Credit) => self.credit(stream, header.channel(), payload),
            Some(Kind::Reset) => self.detach(stream),
            _ => {}
        }
    }

    pub(super) fn event(&mut self, fields: Vec<(&str, Value)>) {
        self.link
            .send(Kind::Event, 0, 0, &Value::map(fields).encode());
    }
}
