//! Between processes and streams: what processes print goes out, what the host types goes in.

use super::{Agent, ORPHAN};
use crate::out_queue::Flushed;
use crate::poll::{READ, WRITE};
use crate::session::Polled;
use std::os::fd::AsRawFd;
use viv_protocol::{Kind, WireError};

/// Output is framed only while fewer bytes than this wait for the port, so that answers never queue behind much of it.
const AHEAD: usize = 64 * 1024;

impl Agent {
    /// Sends what can be sent, one frame per stream in turn, and watches what should be read.
    pub(super) fn serve(&mut self) {
        loop {
            while self.link.out.len() < AHEAD && self.serve_next() {}
            let before = self.link.out.len();
            if self.link.flush() == Flushed::Waiting || before == 0 {
                break;
            }
        }
        self.watch_outputs();
    }

    /// One frame of the next stream that has one.
    fn serve_next(&mut self) -> bool {
        let after = self.last_served.wrapping_add(1);
        let order = self
            .streams
            .range(after..)
            .chain(self.streams.range(..after));
        for (stream, number) in order {
            let frame = self
                .sessions
                .get_mut(number)
                .and_then(|session| session.next_frame());
            if let Some((kind, channel, buffer)) = frame {
                self.last_served = *stream;
                self.link.send_buffer(kind, channel, *stream, buffer);
                return true;
            }
        }
        false
    }

    /// Reads from every output that may be read, and from no other: one that isn't watched costs nothing.
    fn watch_outputs(&mut self) {
        let log_full = self.log.full();
        for (number, session) in &mut self.sessions {
            for (output, channel) in session.outputs.iter_mut().zip(1u64..) {
                let Some(fd) = output.fd() else { continue };
                let wanted = output.room() > 0 && !(session.logged && log_full);
                if wanted == output.watched {
                    continue;
                }
                if wanted {
                    output.watched = self.poll.add(fd, number << 2 | channel, READ).is_ok();
                } else {
                    self.poll.remove(fd);
                    output.watched = false;
                }
            }
        }
    }

    /// Takes what a process has printed.
    pub(super) fn collect(&mut self, number: u64, channel: u8) {
        let Some(session) = self.sessions.get_mut(&number) else {
            return;
        };
        let Some(output) = session
            .outputs
            .get_mut(usize::from(channel).wrapping_sub(1))
        else {
            return;
        };
        match output.read(&mut self.scratch) {
            Polled::Nothing => {}
            Polled::Read(count) => {
                if session.logged {
                    self.log.output(channel, &self.scratch[..count]);
                }
            }
            Polled::Ended => self.end_output(number, channel),
        }
    }

    fn end_output(&mut self, number: u64, channel: u8) {
        let Some(session) = self.sessions.get_mut(&number) else {
            return;
        };
        let Some(output) = session
            .outputs
            .get_mut(usize::from(channel).wrapping_sub(1))
        else {
            return;
        };
        if let Some(fd) = output.close() {
            self.poll.remove(fd.as_raw_fd());
            // A background child may still print: it must not die of it, and nobody is to hear it any more.
            let token = ORPHAN | number << 2 | u64::from(channel);
            let alive = session.terminal.is_none() && !crate::sys::hung_up(fd.as_raw_fd());
            if alive && self.poll.add(fd.as_raw_fd(), token, READ).is_ok() {
                self.orphans.insert(token, fd);
            }
        }
        if session.exit.is_some() && session.finished() {
            session.terminal = None;
            session.input.close();
            self.session_finished(number);
        }
    }

    pub(super) fn drain_orphan(&mut self, token: u64) {
        let Some(fd) = self.orphans.get(&token) else {
            return;
        };
        let ended = match crate::sys::read(fd.as_raw_fd(), &mut self.scratch) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        };
        if ended {
            self.orphans.remove(&token);
        }
    }

    pub(super) fn stdin(&mut self, stream: u32, channel: u8, bytes: &[u8]) {
        let Some(number) = self.streams.get(&stream).copied() else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&number) else {
            return;
        };
        if channel != 0 {
            return;
        }
        match session.input.accept(bytes) {
            Ok(()) => self.feed(number),
            Err(error) => self.reset_stream(stream, &error),
        }
    }

    pub(super) fn stdin_end(&mut self, stream: u32, channel: u8) {
        let Some(number) = self.streams.get(&stream).copied() else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(&number).filter(|_| channel == 0) {
            session.input.end();
            self.feed(number);
        }
    }

    /// Gives a process what it takes, and the host the credit for it.
    pub(super) fn feed(&mut self, number: u64) {
        let Some(session) = self.sessions.get_mut(&number) else {
            return;
        };
        let fd = session.input.fd();
        let grant = session.input.flush();
        if let (Some(grant), Some(stream)) = (grant, session.stream) {
            self.link
                .send(Kind::Credit, 0, stream, &grant.to_le_bytes());
        }
        let waiting = session.input.waiting();
        if let Some(fd) = fd.filter(|_| waiting != session.input.watched) {
            if waiting {
                session.input.watched = self.poll.add(fd, number << 2, WRITE).is_ok();
            } else {
                self.poll.remove(fd);
                session.input.watched = false;
            }
        }
    }

    pub(super) fn credit(&mut self, stream: u32, channel: u8, payload: &[u8]) {
        let Ok(bytes) = <[u8; 4]>::try_from(payload) else {
            return;
        };
        let Some(session) = self
            .streams
            .get(&stream)
            .and_then(|number| self.sessions.get_mut(number))
        else {
            return;
        };
        if let Some(output) = session
            .outputs
            .get_mut(usize::from(channel).wrapping_sub(1))
        {
            output.grant(u32::from_le_bytes(bytes));
        }
    }

    /// The host lets go of a stream; its session stays.
    pub(super) fn detach(&mut self, stream: u32) {
        if let Some(session) = self
            .streams
            .remove(&stream)
            .and_then(|number| self.sessions.get_mut(&number))
        {
            session.stream = None;
        }
    }

    pub(super) fn reset_stream(&mut self, stream: u32, error: &WireError) {
        self.detach(stream);
        self.link.reset(stream, error);
    }
}
