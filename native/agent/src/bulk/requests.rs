use super::{copy_in, copy_out, Bulk, Inbox, Outbox, Piece, Report, Stream, Teller, Tunnel};
use crate::access::guest_error;
use crate::control::Writing;
use crate::link::parse_request;
use crate::threads;
use std::sync::Arc;
use viv_protocol::{Code, Fields, Kind, ReceiveWindow, Value, WireError};

/// Copies and tunnels at a time.
const MOST_STREAMS: usize = 4096;
/// Bytes of a copy into the guest that may be under way beyond the first window: consumption is told of in steps as
/// large as that window, which alone would run dry between two steps. By itself it made no copy faster.
const MORE_UNDER_WAY: u32 = 1 << 20;
/// Copies keep paths and blocks on their stack, no frames.
const STACK: usize = 192 * 1024;

impl Bulk {
    pub(super) fn request(&mut self, stream: u32, payload: &[u8]) {
        if stream == 0 || self.streams.contains_key(&stream) {
            let error = WireError::new(
                Code::InvalidRequest,
                format!("stream {stream} cannot be opened again"),
            );
            return self.link.reset(stream, &error);
        }
        let opened = parse_request(payload).and_then(|(method, parameters)| {
            if self.streams.len() >= MOST_STREAMS {
                return Err(WireError::new(
                    Code::Conflict,
                    format!("{MOST_STREAMS} copies and tunnels are open"),
                ));
            }
            self.open(stream, &method, &Fields(&parameters))
        });
        match opened {
            Ok(Some(body)) => drop(self.streams.insert(stream, body)),
            Ok(None) => self.link.respond(stream, &Ok(Value::Map(Vec::new()))),
            Err(error) => self.link.respond(stream, &Err(error)),
        }
    }

    fn open(
        &mut self,
        stream: u32,
        method: &str,
        fields: &Fields<'_>,
    ) -> Result<Option<Stream>, WireError> {
        match method {
            "ping" => Ok(None),
            "copy.in" => self.copy_in(stream, fields).map(Some),
            "copy.out" => self.copy_out(stream, fields).map(Some),
            "tcp.connect" => {
                let tunnel = Tunnel::connect(fields.text("host")?, fields.small("port")?)?;
                Ok(Some(Stream::Tunnel(tunnel)))
            }
            _ => Err(WireError::new(
                Code::NotSupported,
                format!("the bulk port knows no method {method}"),
            )),
        }
    }

    fn teller(&self, stream: u32) -> Teller {
        Teller {
            wake: Arc::clone(&self.wake),
            sender: self.sender.clone(),
            conversation: self.conversation,
            stream,
        }
    }

    fn copy_in(&mut self, stream: u32, fields: &Fields<'_>) -> Result<Stream, WireError> {
        let root = self.targets.root(fields.text("target")?)?;
        let path = fields.text("path")?.to_owned();
        let owner = match fields.inner_if("owner")? {
            Some(owner) => Some((owner.small("uid")?, owner.small("gid")?)),
            None => None,
        };
        let (inbox, teller) = (Arc::new(Inbox::default()), self.teller(stream));
        let theirs = Arc::clone(&inbox);
        let writing = Writing::begin();
        spawn(move || {
            let answer = copy_in::run(&root, &path, owner, theirs, |bytes| {
                teller.tell(Report::Consumed(bytes))
            });
            drop(writing);
            teller.tell(Report::Ended(answer));
        })?;
        let mut window = ReceiveWindow::default();
        window.widen(MORE_UNDER_WAY);
        self.link
            .send(Kind::Credit, 0, stream, &MORE_UNDER_WAY.to_le_bytes());
        Ok(Stream::In { inbox, window })
    }

    fn copy_out(&mut self, stream: u32, fields: &Fields<'_>) -> Result<Stream, WireError> {
        let root = self.targets.root(fields.text("target")?)?;
        let (path, follow) = (fields.text("path")?.to_owned(), fields.flag("follow")?);
        let (full, teller) = (self.teller(stream), self.teller(stream));
        let outbox = Arc::new(Outbox::new(self.link.speaker(), stream, move || {
            full.tell(Report::Full)
        }));
        let theirs = Arc::clone(&outbox);
        spawn(move || {
            let tell = |piece: Piece| theirs.send(piece);
            copy_out::run(&root, &path, follow, || theirs.buffer(), tell);
            teller.tell(Report::Sent);
        })?;
        Ok(Stream::Out { outbox })
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<(), WireError> {
    threads::start(STACK, work)
        .map(drop)
        .map_err(|error| guest_error("a thread", &error))
}
