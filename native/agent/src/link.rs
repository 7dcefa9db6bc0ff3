//! One framed conversation over one port: greeting, epoch, resynchronisation. Used by both ports.

use crate::out_port::OutPort;
use crate::out_queue::Flushed;
use crate::sys;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use viv_protocol::{encode, Code, Decoder, Fields, Header, Kind, Value, WireError, VERSION};

pub struct Link {
    port: Arc<OwnedFd>,
    decoder: Decoder,
    pub out: OutPort,
    speaker: Speaker,
}

/// Says things in one conversation. Once there is a newer one the host drops them.
#[derive(Clone)]
pub struct Speaker {
    pub out: OutPort,
    epoch: Option<u64>,
}

/// What a host said, beyond what the link answers by itself.
pub enum Incoming {
    /// A new conversation: everything of the one before is over. Answer with [`Link::welcome`].
    Hello,
    Frame(Header, Vec<u8>),
}

impl Link {
    pub fn new(port: OwnedFd) -> Link {
        let port = Arc::new(port);
        let out = OutPort::new(Arc::clone(&port));
        Link {
            port,
            decoder: Decoder::new(),
            out: out.clone(),
            speaker: Speaker { out, epoch: None },
        }
    }

    /// For another thread that says something in the current conversation.
    pub fn speaker(&self) -> Speaker {
        self.speaker.clone()
    }

    pub fn fd(&self) -> i32 {
        self.port.as_raw_fd()
    }

    pub fn epoch(&self) -> Option<u64> {
        self.speaker.epoch
    }

    /// Whether the host's end is open right now.
    pub fn connected(&self) -> bool {
        !sys::hung_up(self.fd())
    }

    /// The next thing the host said, or nothing until the port's next edge. `spare` may give a used buffer again.
    pub fn next(&mut self, spare: &mut dyn FnMut() -> Vec<u8>) -> Option<Incoming> {
        loop {
            let count = match sys::read(self.port.as_raw_fd(), self.decoder.space()) {
                // Zero bytes: the host's end is closed. The rest of a half received frame will never come; what comes
                // next is another host's greeting, and no part of what the one before was saying.
                Ok(0) => {
                    self.decoder.next();
                    return None;
                }
                Ok(count) => count,
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => continue,
                Err(_) => return None,
            };
            if self.decoder.advance(count) {
                if let Some(incoming) = self.accept(spare) {
                    return Some(incoming);
                }
            }
        }
    }

    fn accept(&mut self, spare: &mut dyn FnMut() -> Vec<u8>) -> Option<Incoming> {
        let frame = self.decoder.frame()?;
        let header = frame.header;
        let current = self.speaker.epoch == Some(header.epoch);
        match Kind::from_byte(header.kind) {
            Some(Kind::Hello) => {
                let greeted = Value::decode(frame.payload)
                    .ok()
                    .filter(|body| body.get("versions").is_some());
                self.decoder.next();
                return greeted.and_then(|body| self.greet(header.epoch, &body));
            }
            Some(Kind::Ping) if current && frame.payload.len() <= 64 => {
                let payload = frame.payload.to_vec();
                self.decoder.next();
                self.send(Kind::Pong, 0, 0, &payload);
                return None;
            }
            Some(Kind::Data) if current => {
                return self
                    .decoder
                    .take(spare())
                    .map(|(header, buffer)| Incoming::Frame(header, buffer))
            }
            Some(Kind::Request | Kind::Eof | Kind::Credit | Kind::Reset) if current => {
                // Laid out as a DATA frame's buffer is: the payload follows the header's room.
                let mut buffer = vec![0; viv_protocol::HEADER_LEN];
                buffer.extend_from_slice(frame.payload);
                self.decoder.next();
                return Some(Incoming::Frame(header, buffer));
            }
            _ => {}
        }
        self.decoder.next();
        None
    }

    fn greet(&mut self, epoch: u64, body: &Value) -> Option<Incoming> {
        let ours = Value::from(u64::from(VERSION));
        let spoken = matches!(body.get("versions"), Some(Value::Array(versions)) if versions.contains(&ours));
        self.out.clear();
        if spoken {
            self.speaker.epoch = Some(epoch);
            return Some(Incoming::Hello);
        }
        self.speaker.epoch = None;
        let mut frame = Vec::new();
        encode(
            &mut frame,
            Kind::Welcome,
            0,
            epoch,
            0,
            &welcome_body(0, "", 0).encode(),
        );
        self.out.push(frame);
        None
    }

    pub fn welcome(&mut self, boot_id: &str, generation: u64) {
        let body = welcome_body(u64::from(VERSION), boot_id, generation).encode();
        self.send(Kind::Welcome, 0, 0, &body);
    }

    pub fn send(&self, kind: Kind, channel: u8, stream: u32, payload: &[u8]) {
        self.speaker.send(kind, channel, stream, payload);
    }

    pub fn send_buffer(&self, kind: Kind, channel: u8, stream: u32, buffer: Vec<u8>) {
        self.speaker.send_buffer(kind, channel, stream, buffer);
    }

    pub fn respond(&self, stream: u32, answer: &Result<Value, WireError>) {
        self.speaker.respond(stream, answer);
    }

    pub fn reset(&self, stream: u32, error: &WireError) {
        self.speaker.reset(stream, error);
    }

    pub fn flush(&self) -> Flushed {
        self.out.flush()
    }
}

impl Speaker {
    #[cfg(test)]
    pub fn over(port: OwnedFd) -> Speaker {
        Speaker {
            out: OutPort::new(Arc::new(port)),
            epoch: Some(1),
        }
    }

    /// Says something in the current conversation; without one nobody would listen.
    pub fn send(&self, kind: Kind, channel: u8, stream: u32, payload: &[u8]) {
        if let Some(epoch) = self.epoch {
            let mut frame = Vec::new();
            encode(&mut frame, kind, channel, epoch, stream, payload);
            self.out.push(frame);
        }
    }

    /// Sends a buffer whose first 28 bytes are room for the header.
    pub fn send_buffer(&self, kind: Kind, channel: u8, stream: u32, mut buffer: Vec<u8>) {
        if let (Some(epoch), Some(room)) = (
            self.epoch,
            buffer.len().checked_sub(viv_protocol::HEADER_LEN),
        ) {
            let header = Header::new(kind, channel, epoch, stream, room as u32).to_bytes();
            buffer[..viv_protocol::HEADER_LEN].copy_from_slice(&header);
            self.out.push(buffer);
        }
    }

    pub fn respond(&self, stream: u32, answer: &Result<Value, WireError>) {
        let body = match answer {
            Ok(result) => Value::map(vec![("ok", true.into()), ("r", result.clone())]),
            Err(error) => Value::map(vec![("ok", false.into()), ("e", error.to_value())]),
        };
        let bytes = body.encode();
        if bytes.len() <= viv_protocol::MAX_PAYLOAD {
            self.send(Kind::Response, 0, stream, &bytes);
        } else {
            self.respond(
                stream,
                &Err(WireError::new(
                    Code::GuestError,
                    "the answer does not fit a frame",
                )),
            );
        }
    }

    pub fn reset(&self, stream: u32, error: &WireError) {
        self.send(Kind::Reset, 0, stream, &error.to_value().encode());
    }
}

fn welcome_body(version: u64, boot_id: &str, generation: u64) -> Value {
    let features = [
        "workload", "exec", "freeze", "copy", "tcp", "log", "volumes",
    ];
    Value::map(vec![
        ("version", version.into()),
        (
            "agent",
            concat!("viv-agent ", env!("CARGO_PKG_VERSION")).into(),
        ),
        ("bootId", boot_id.into()),
        ("generation", generation.into()),
        ("features", Value::Array(features.map(Value::from).to_vec())),
    ])
}

/// A request's method and parameters.
pub fn parse_request(payload: &[u8]) -> Result<(String, Value), WireError> {
    let invalid =
        |error: viv_protocol::ValueError| WireError::new(Code::InvalidRequest, error.to_string());
    let body = Value::decode(payload).map_err(invalid)?;
    let method = Fields(&body).text("m")?.to_owned();
    let parameters = body.get("p").cloned().unwrap_or(Value::Map(Vec::new()));
    Ok((method, parameters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    fn frame(kind: Kind, channel: u8, epoch: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&mut bytes, kind, channel, epoch, 0, payload);
        bytes
    }

    fn hello(epoch: u64) -> Vec<u8> {
        let versions = Value::Array(vec![Value::from(u64::from(VERSION))]);
        let body = Value::map(vec![("versions", versions), ("host", "test".into())]);
        frame(Kind::Hello, 0, epoch, &body.encode())
    }

    /// The bytes of every whole frame, by epoch and kind. What lies before the first is the rest of one that was begun.
    fn frames(mut bytes: &[u8]) -> (usize, Vec<(u64, u8)>) {
        let mut decoder = Decoder::new();
        let (mut found, mut length) = (Vec::new(), bytes.len());
        while !bytes.is_empty() {
            let space = decoder.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if decoder.advance(count) {
                if let Some(frame) = decoder.frame() {
                    found.push((frame.header.epoch, frame.header.kind));
                    length -= viv_protocol::HEADER_LEN + frame.payload.len();
                }
                decoder.next();
            }
        }
        (length, found)
    }

    /// As after a restore: the port was full, and nobody saw the host's end close.
    #[test]
    fn a_new_epoch_drops_what_was_queued_for_the_old_one_and_finishes_only_what_was_begun() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        for end in [&ours, &theirs] {
            end.set_nonblocking(true).unwrap();
        }
        let mut host = theirs;
        let mut link = Link::new(ours.into());
        let mut spare = Vec::new;
        host.write_all(&hello(1)).unwrap();
        assert!(matches!(link.next(&mut spare), Some(Incoming::Hello)));
        let mut taken = Vec::new();
        while link.flush() == Flushed::All {
            link.send(Kind::Data, 1, 3, &[7; 40_000]);
        }
        link.send(Kind::Data, 1, 3, &[8; 40_000]);
        link.send(Kind::Event, 0, 0, &[9; 100]);
        // What the port has taken goes to the old host; the new one begins here.
        let mut scratch = [0; 65_536];
        while std::io::Read::read(&mut host, &mut scratch).is_ok() {}

        host.write_all(&hello(2)).unwrap();
        assert!(matches!(link.next(&mut spare), Some(Incoming::Hello)));
        link.welcome("boot", 5);
        while link.flush() != Flushed::All || !link.out.is_empty() {}
        while let Ok(count) = std::io::Read::read(&mut host, &mut scratch) {
            taken.extend_from_slice(&scratch[..count]);
        }
        let (torn, found) = frames(&taken);
        assert_eq!(found, [(2, Kind::Welcome as u8)]);
        assert!(torn < 40_028, "{torn} bytes of an old frame");
    }

    /// A FIFO shows its reader the end of each writer, as a port does.
    #[test]
    fn the_greeting_of_another_host_is_no_part_of_a_frame_whose_sender_was_killed() {
        let path = std::env::temp_dir().join(format!("viv-link-{}", std::process::id()));
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a string that lives.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let port = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&path)
            .unwrap();
        let mut link = Link::new(port.into());
        let mut spare = Vec::new;

        let mut first = File::options().write(true).open(&path).unwrap();
        first.write_all(&hello(1)).unwrap();
        assert!(matches!(link.next(&mut spare), Some(Incoming::Hello)));
        let data = frame(Kind::Data, 0, 1, &[7; 5000]);
        first.write_all(&data[..3000]).unwrap();
        assert!(link.next(&mut spare).is_none());
        drop(first);
        assert!(link.next(&mut spare).is_none());

        let mut second = File::options().write(true).open(&path).unwrap();
        second.write_all(&hello(2)).unwrap();
        assert!(matches!(link.next(&mut spare), Some(Incoming::Hello)));
        std::fs::remove_file(&path).unwrap();
    }
}
