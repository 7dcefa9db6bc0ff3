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
        self.tell_awaited();
        loop {
            while self.link.out.len() < AHEAD && self.serve_next() {}
            let before = self.link.out.len();
            if self.link.flush() == Flushed::Waiting || before == 0 {
                break;
            }
        }
        self.serve_watches();
        self.log.write();
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
        if let Some(fd) = fd.filter(|_| std::mem::take(&mut session.input.watched)) {
            // Out of the set first: a terminal has other descriptors, with which this one would stay in it when it is closed.
            self.poll.remove(fd);
            // A terminal that nobody has open any more takes nothing, is no error, and would be ready for ever.
            if session.terminal.is_some() && crate::sys::hung_up(fd) {
                session.input.close();
            }
        }
        let grant = session.input.flush();
        if let (Some(grant), Some(stream)) = (grant, session.stream) {
            self.link
                .send(Kind::Credit, 0, stream, &grant.to_le_bytes());
        }
        if session.input.waiting() {
            let token = number << 2;
            session.input.watched = fd.is_some_and(|fd| self.poll.add(fd, token, WRITE).is_ok());
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
        self.watches.remove(&stream);
        self.awaited.remove(&stream);
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

#[cfg(test)]
mod tests {
    use super::super::Parts;
    use super::*;
    use crate::session::{Input, Output, Session};
    use crate::sys;
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::os::unix::net::UnixStream;
    use std::time::Instant;
    use viv_protocol::Value;

    fn agent() -> Agent {
        let (poll, spawner, children, null, jobs) = Agent::beginnings().expect("beginnings");
        let parts = Parts {
            poll,
            spawner,
            children,
            null,
            jobs,
            targets: Default::default(),
            bulk: None,
        };
        let (port, _host) = UnixStream::pair().expect("sockets");
        Agent::assemble(parts, port.into(), None)
    }

    /// Master and slave; the slave is raw, so that its queue fills up.
    fn terminal() -> (OwnedFd, OwnedFd) {
        // SAFETY: descriptors that are new and ours, and local structs.
        unsafe {
            let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;
            let master = OwnedFd::from_raw_fd(sys::check(libc::posix_openpt(flags)).expect("pty"));
            sys::check(libc::unlockpt(master.as_raw_fd())).expect("unlocked");
            let peer = libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags);
            let slave = OwnedFd::from_raw_fd(sys::check(peer).expect("slave"));
            let mut mode: libc::termios = std::mem::zeroed();
            libc::tcgetattr(slave.as_raw_fd(), &mut mode);
            libc::cfmakeraw(&mut mode);
            libc::tcsetattr(slave.as_raw_fd(), libc::TCSANOW, &mode);
            (master, slave)
        }
    }

    #[test]
    fn who_waits_for_more_output_is_answered_when_there_is_some_and_when_it_has_ended() {
        let (mut agent, (master, slave)) = (agent(), terminal());
        let outputs = [Output::new(master, false), Output::ended_from_start()];
        let session = Session::new("x", "vm", vec![], Input::none(), outputs);
        let number = agent.add_session(session);
        let question = Value::map(vec![
            ("execId", "x".into()),
            ("stdout", 0u64.into()),
            ("stderr", 0u64.into()),
        ]);
        let waiting = |agent: &mut Agent| {
            agent.serve();
            agent.awaited.len()
        };
        agent.request(1, "exec.wait", &question);
        assert_eq!(waiting(&mut agent), 1);
        sys::write(slave.as_raw_fd(), b"x").expect("printed");
        agent.collect(number, 1);
        assert_eq!(waiting(&mut agent), 0);
        let more = Value::map(vec![
            ("execId", "x".into()),
            ("stdout", 1u64.into()),
            ("stderr", 0u64.into()),
        ]);
        for stream in [3, 5] {
            agent.request(stream, "exec.wait", &more);
        }
        assert_eq!(waiting(&mut agent), 2);
        agent.detach(3);
        assert_eq!(waiting(&mut agent), 1);
        agent.sessions.remove(&number);
        assert_eq!(waiting(&mut agent), 0);
    }

    #[test]
    fn typed_bytes_that_nobody_will_ever_read_do_not_keep_the_loop_awake() {
        let (mut agent, (master, slave)) = (agent(), terminal());
        let again = || master.try_clone().expect("a descriptor");
        let outputs = [Output::new(again(), false), Output::ended_from_start()];
        let mut session = Session::new("x", "vm", vec![], Input::new(again(), true), outputs);
        session
            .input
            .accept(&[b'x'; 200_000])
            .expect("in the window");
        session.terminal = Some(again());
        let number = agent.add_session(session);
        agent.feed(number);
        assert!(agent.sessions[&number].input.watched, "it is full");
        drop(slave);
        // A child of another test may have it for a moment, until it runs its program.
        while !sys::hung_up(master.as_raw_fd()) {
            std::thread::yield_now();
        }
        agent.feed(number);
        assert_eq!(agent.sessions[&number].input.fd(), None);
        let mut ready = Vec::new();
        agent.poll.wait(Some(Instant::now()), &mut ready);
        assert!(ready.is_empty(), "{ready:?}");
    }
}
