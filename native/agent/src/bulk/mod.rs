//! The bulk port: file copies and TCP tunnels, on a thread of their own so that they never hold up an exec.
//!
//! One loop speaks with the host and serves the tunnels; each copy has a thread that may wait for the disk.

mod copy_in;
mod copy_out;
mod inbox;
mod outbox;
mod reports;
mod requests;
mod tunnel;

use crate::access::Targets;
use crate::link::{Incoming, Link};
use crate::out_queue::Flushed;
use crate::poll::{Poll, EDGE, READ, WRITE};
use crate::sys;
use crate::{kmsg, threads};
use inbox::Inbox;
use outbox::{Outbox, Piece};
pub use reports::{HostLeft, Report, Teller};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tunnel::Tunnel;
use viv_protocol::{Code, Decoder, Header, Kind, ReceiveWindow, WireError, HEADER_LEN};

const PORT: u64 = u64::MAX;
const WORKERS: u64 = u64::MAX - 1;
/// Bytes of frames that wait for the port before streams are asked for more.
const AHEAD: usize = 192 * 1024;
/// As on the control port: a host that asks and never reads is not listened to.
const UNREAD: usize = 1 << 20;
/// Used buffers that are kept for the next frames.
const SPARES: usize = 8;
const FRAMES_A_ROUND: usize = 32;
/// With so much to do, all copies of this moment can do without the port for a while: frames to be unpacked,
const ENOUGH_FRAMES: usize = 4;
/// and bytes that may be sent.
const ENOUGH_CREDIT: u64 = 1 << 20;
/// How long the port is left alone then, at most: a host that cancels or opens another stream waits no longer.
const PAUSE: Duration = Duration::from_millis(2);

enum Stream {
    In {
        inbox: Arc<Inbox>,
        window: ReceiveWindow,
    },
    Out {
        outbox: Arc<Outbox>,
    },
    Tunnel(Tunnel),
}

impl Drop for Stream {
    /// Whoever works for a stream that is gone stops.
    fn drop(&mut self) {
        match self {
            Stream::In { inbox, .. } => inbox.cancel(),
            Stream::Out { outbox } => outbox.cancel(),
            Stream::Tunnel(_) => {}
        }
    }
}

struct Bulk {
    poll: Poll,
    link: Link,
    targets: Targets,
    conversation: u64,
    /// The same, for other threads.
    told_conversation: Arc<AtomicU64>,
    streams: BTreeMap<u32, Stream>,
    last_served: u32,
    /// What epoll watches of the port.
    watched: u32,
    wake: Arc<OwnedFd>,
    sender: Sender<(u64, u32, Report)>,
    reports: Receiver<(u64, u32, Report)>,
    spares: Vec<Vec<u8>>,
    boot_id: String,
}

pub fn start(port: OwnedFd, targets: Targets) -> Option<HostLeft> {
    let bulk = Bulk::new(port, targets)
        .inspect_err(|error| kmsg::fail(&format!("the bulk port cannot be served: {error}")))
        .ok()?;
    let host_left = HostLeft {
        conversation: Arc::clone(&bulk.told_conversation),
        wake: Arc::clone(&bulk.wake),
        sender: bulk.sender.clone(),
    };
    threads::start(256 * 1024, move || bulk.run())
        .inspect_err(|error| kmsg::fail(&format!("the bulk port has no thread: {error}")))
        .ok()?;
    Some(host_left)
}

impl Bulk {
    fn new(port: OwnedFd, targets: Targets) -> io::Result<Bulk> {
        let (sender, reports) = channel();
        let boot_id =
            std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let bulk = Bulk {
            poll: Poll::new()?,
            link: Link::new(port),
            targets,
            conversation: 0,
            told_conversation: Arc::default(),
            streams: BTreeMap::new(),
            last_served: 0,
            watched: 0,
            wake: Arc::new(sys::event_fd()?),
            sender,
            reports,
            spares: Vec::new(),
            boot_id: boot_id.trim().to_owned(),
        };
        bulk.poll.add(bulk.wake.as_raw_fd(), WORKERS, READ)?;
        Ok(bulk)
    }

    fn run(mut self) {
        let mut ready = Vec::new();
        loop {
            self.listen();
            self.serve();
            self.watch_tunnels();
            let until = self.watch_port();
            self.poll.wait(until, &mut ready);
            for (token, _) in &ready {
                match *token {
                    PORT => {}
                    WORKERS => self.hear_workers(),
                    token => self.tunnel_ready(token as u32),
                }
            }
        }
    }

    fn listen(&mut self) {
        for _ in 0..FRAMES_A_ROUND {
            if self.link.out.len() > UNREAD {
                return;
            }
            let spares = &mut self.spares;
            match self.link.next(&mut || spares.pop().unwrap_or_default()) {
                None => return,
                Some(Incoming::Hello) => self.greet(),
                Some(Incoming::Frame(header, buffer)) => self.accept(header, buffer),
            }
        }
        // There may be more, and an edge is only told once: ask for it again.
        if self.watched != 0 {
            self.watch(self.watched);
        }
    }

    fn greet(&mut self) {
        self.conversation += 1;
        self.told_conversation
            .store(self.conversation, Ordering::Relaxed);
        self.streams.clear();
        let boot_id = self.boot_id.clone();
        self.link.welcome(&boot_id, crate::generation::get());
    }

    fn accept(&mut self, header: Header, buffer: Vec<u8>) {
        let stream = header.stream;
        match Kind::from_byte(header.kind) {
            Some(Kind::Request) => self.request(stream, buffer.get(HEADER_LEN..).unwrap_or(&[])),
            Some(Kind::Data) if header.channel() == 0 => self.data(stream, buffer),
            Some(Kind::Eof) if header.channel() == 0 => self.end(stream),
            Some(Kind::Credit) if header.channel() == 0 => {
                let bytes = buffer
                    .get(HEADER_LEN..)
                    .and_then(|payload| <[u8; 4]>::try_from(payload).ok());
                self.credit(stream, bytes.map_or(0, u32::from_le_bytes));
            }
            Some(Kind::Reset) => drop(self.streams.remove(&stream)),
            _ => {}
        }
    }

    fn data(&mut self, stream: u32, buffer: Vec<u8>) {
        let bytes = buffer.len().saturating_sub(HEADER_LEN);
        let fits = match self.streams.get_mut(&stream) {
            None | Some(Stream::Out { .. }) => return self.keep(buffer),
            Some(Stream::In { inbox, window }) => {
                window.receive(bytes).map(|()| inbox.push(buffer)).is_ok()
            }
            Some(Stream::Tunnel(tunnel)) => tunnel.accept(&buffer[HEADER_LEN..]).is_ok(),
        };
        if fits {
            self.tunnel_ready(stream);
        } else {
            let error = WireError::new(
                Code::InvalidRequest,
                "more was sent than there was credit for",
            );
            self.reset(stream, &error);
        }
    }

    fn keep(&mut self, buffer: Vec<u8>) {
        if self.spares.len() < SPARES && buffer.capacity() >= Decoder::BUFFER_LEN {
            self.spares.push(buffer);
        }
    }

    fn end(&mut self, stream: u32) {
        match self.streams.get_mut(&stream) {
            Some(Stream::In { inbox, .. }) => inbox.end(),
            Some(Stream::Tunnel(tunnel)) => {
                tunnel.end();
                self.tunnel_ready(stream);
            }
            _ => {}
        }
    }

    fn credit(&mut self, stream: u32, bytes: u32) {
        match self.streams.get_mut(&stream) {
            Some(Stream::Out { outbox }) => outbox.grant(bytes),
            Some(Stream::Tunnel(tunnel)) => tunnel.grant(bytes),
            _ => {}
        }
    }

    fn reset(&mut self, stream: u32, error: &WireError) {
        self.streams.remove(&stream);
        self.link.reset(stream, error);
    }

    fn hear_workers(&mut self) {
        let _only_to_reset_it = sys::read(self.wake.as_raw_fd(), &mut [0; 8]);
        while let Ok((conversation, stream, report)) = self.reports.try_recv() {
            if conversation != self.conversation {
                continue;
            }
            match (report, self.streams.get_mut(&stream)) {
                (Report::Consumed(bytes), Some(Stream::In { window, inbox })) => {
                    let grant = window.consume(bytes);
                    inbox.take_spares(&mut self.spares, SPARES);
                    if let Some(grant) = grant {
                        self.link
                            .send(Kind::Credit, 0, stream, &grant.to_le_bytes());
                    }
                }
                (Report::HostLeft, _) => self.streams.clear(),
                (Report::Ended(answer), Some(Stream::In { .. })) => {
                    self.link.respond(stream, &answer);
                    self.streams.remove(&stream);
                }
                (Report::Sent, Some(Stream::Out { .. })) => drop(self.streams.remove(&stream)),
                _ => {}
            }
        }
    }

    /// Sends what can be sent, one frame per stream in turn.
    fn serve(&mut self) {
        loop {
            while self.link.out.len() < AHEAD && self.serve_next() {}
            let before = self.link.out.len();
            if self.link.flush() == Flushed::Waiting || before == 0 {
                return;
            }
        }
    }

    /// Watches the port for exactly what matters now; where that is nothing, answers until when. Each buffer that comes or
    /// goes would wake the loop, in the middle of what a copy's thread does on the one vCPU that they share.
    fn watch_port(&mut self) -> Option<Instant> {
        let wanted = match (self.link.out.is_empty(), self.copies_are_busy()) {
            (false, _) => READ | WRITE | EDGE,
            (true, false) => READ | EDGE,
            (true, true) => 0,
        };
        if wanted != self.watched {
            self.watch(wanted);
        }
        (wanted == 0).then(|| Instant::now() + PAUSE)
    }

    fn watch(&mut self, wanted: u32) {
        let fd = self.link.fd();
        let done = match (self.watched, wanted) {
            (_, 0) => {
                self.poll.remove(fd);
                Ok(())
            }
            (0, _) => self.poll.add(fd, PORT, wanted),
            _ => self.poll.change(fd, PORT, wanted),
        };
        if done.is_err() {
            kmsg::fail("the bulk port left the epoll set");
        }
        self.watched = wanted;
    }

    /// Nobody waits for anything that the host may have said.
    fn copies_are_busy(&self) -> bool {
        let busy = |stream: &Stream| match stream {
            Stream::In { inbox, .. } => inbox.len() >= ENOUGH_FRAMES,
            Stream::Out { outbox } => outbox.credit() >= ENOUGH_CREDIT,
            Stream::Tunnel(_) => false,
        };
        !self.streams.is_empty() && self.streams.values().all(busy)
    }

    fn serve_next(&mut self) -> bool {
        let after = self.last_served.wrapping_add(1);
        let order: Vec<u32> = self
            .streams
            .range(after..)
            .chain(self.streams.range(..after))
            .map(|(stream, _)| *stream)
            .collect();
        for stream in order {
            let piece = match self.streams.get_mut(&stream) {
                Some(Stream::Tunnel(tunnel)) => tunnel.next_piece(),
                _ => None,
            };
            if let Some(piece) = piece {
                self.last_served = stream;
                self.send(stream, piece);
                return true;
            }
        }
        false
    }

    fn send(&mut self, stream: u32, piece: Piece) {
        match piece {
            Piece::Answer(answer) => {
                self.link.respond(stream, &answer);
                if answer.is_err() {
                    self.streams.remove(&stream);
                }
            }
            Piece::Data(buffer) => self.link.send_buffer(Kind::Data, 0, stream, buffer),
            Piece::End => self.link.send(Kind::Eof, 0, stream, &[]),
            Piece::Credit(bytes) => self
                .link
                .send(Kind::Credit, 0, stream, &bytes.to_le_bytes()),
            Piece::Failed(error) => self.reset(stream, &error),
            Piece::Over => drop(self.streams.remove(&stream)),
        }
    }

    fn tunnel_ready(&mut self, stream: u32) {
        if let Some(Stream::Tunnel(tunnel)) = self.streams.get_mut(&stream) {
            tunnel.ready();
        }
    }

    fn watch_tunnels(&mut self) {
        let full = self.link.out.len() >= AHEAD;
        for (stream, body) in &mut self.streams {
            if let Stream::Tunnel(tunnel) = body {
                tunnel.watch(&self.poll, u64::from(*stream), full);
            }
        }
    }
}
