use crate::frame::{Header, HEADER_LEN, MAGIC, MAX_PAYLOAD};

/// A whole frame, its payload still in the decoder's buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub header: Header,
    pub payload: &'a [u8],
}

/// Finds frames in a stream of bytes, and finds the thread again after garbage.
///
/// The caller reads straight into [`Decoder::space`] and tells how much came with [`Decoder::advance`]. The decoder never
/// asks for bytes beyond the frame at hand, so a payload is never moved, and its memory is one frame, always.
pub struct Decoder {
    buffer: Vec<u8>,
    filled: usize,
    header: Option<Header>,
    skipped: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Bytes of a buffer that holds any frame.
    pub const BUFFER_LEN: usize = HEADER_LEN + MAX_PAYLOAD;

    pub fn new() -> Decoder {
        Decoder {
            buffer: vec![0; Self::BUFFER_LEN],
            filled: 0,
            header: None,
            skipped: 0,
        }
    }

    /// Bytes thrown away so far while searching for a frame.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Where the next bytes go; empty exactly when a frame is complete.
    pub fn space(&mut self) -> &mut [u8] {
        let need = self.need();
        &mut self.buffer[self.filled..need]
    }

    /// `count` bytes have been put into [`Decoder::space`]. True when a frame is now complete.
    pub fn advance(&mut self, count: usize) -> bool {
        self.filled = (self.filled + count).min(self.need());
        while self.header.is_none() && self.filled == HEADER_LEN {
            self.look_for_header();
        }
        self.complete()
    }

    /// The complete frame, if there is one. It stays until [`Decoder::next`].
    pub fn frame(&self) -> Option<Frame<'_>> {
        let header = self.header.filter(|_| self.complete())?;
        Some(Frame {
            header,
            payload: &self.buffer[HEADER_LEN..self.filled],
        })
    }

    /// Gives the complete frame away with its buffer (payload from [`HEADER_LEN`] on) and goes on with `replacement`.
    pub fn take(&mut self, mut replacement: Vec<u8>) -> Option<(Header, Vec<u8>)> {
        let header = self.header.filter(|_| self.complete())?;
        replacement.resize(Self::BUFFER_LEN, 0);
        let mut whole = std::mem::replace(&mut self.buffer, replacement);
        whole.truncate(self.filled);
        self.next();
        Some((header, whole))
    }

    /// Done with the frame at hand.
    pub fn next(&mut self) {
        self.filled = 0;
        self.header = None;
    }

    /// Feeds any bytes and shows every frame in them.
    pub fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame<'_>)) {
        while !bytes.is_empty() {
            let space = self.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if self.advance(count) {
                if let Some(frame) = self.frame() {
                    each(frame);
                }
                self.next();
            }
        }
    }

    fn need(&self) -> usize {
        self.header
            .map_or(HEADER_LEN, |header| HEADER_LEN + header.length as usize)
    }

    fn complete(&self) -> bool {
        self.header.is_some() && self.filled == self.need()
    }

    /// With 28 bytes at hand: a header, or one byte less and on to whatever may be the next magic.
    fn look_for_header(&mut self) {
        let mut bytes = [0; HEADER_LEN];
        bytes.copy_from_slice(&self.buffer[..HEADER_LEN]);
        if let Ok(header) = Header::parse(&bytes) {
            self.header = Some(header);
            return;
        }
        let may_start = |at: &usize| {
            let rest = &bytes[*at..];
            let length = rest.len().min(MAGIC.len());
            rest[..length] == MAGIC[..length]
        };
        let start = (1..HEADER_LEN).find(may_start).unwrap_or(HEADER_LEN);
        self.buffer.copy_within(start..HEADER_LEN, 0);
        self.filled = HEADER_LEN - start;
        self.skipped += start as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{encode, Kind};

    fn frames(bytes: &[u8], step: usize) -> Vec<(u32, Vec<u8>)> {
        let mut decoder = Decoder::new();
        let mut seen = Vec::new();
        for piece in bytes.chunks(step) {
            decoder.push(piece, |frame| {
                seen.push((frame.header.stream, frame.payload.to_vec()))
            });
        }
        seen
    }

    #[test]
    fn frames_are_the_same_however_the_bytes_are_cut() {
        let mut wire = Vec::new();
        encode(&mut wire, Kind::Ping, 0, 9, 1, b"");
        encode(&mut wire, Kind::Data, 1, 9, 2, &[7; 300]);
        encode(&mut wire, Kind::Data, 1, 9, 3, &[8; MAX_PAYLOAD]);
        let whole = frames(&wire, wire.len());
        assert_eq!(whole.len(), 3);
        for step in [1, 2, 3, 27, 28, 29, 4096] {
            assert_eq!(frames(&wire, step), whole, "in pieces of {step}");
        }
    }

    #[test]
    fn a_frame_after_garbage_is_found() {
        for garbage in [&b"V"[..], b"VIV", b"VIV1VIV1VIV", &[0; 100], b"VVIVIV1\x01"] {
            let mut wire = garbage.to_vec();
            encode(&mut wire, Kind::Ping, 0, 9, 42, b"x");
            assert_eq!(frames(&wire, 5), [(42, b"x".to_vec())], "after {garbage:?}");
        }
    }

    #[test]
    fn a_frame_can_be_given_away_with_its_buffer() {
        let mut wire = Vec::new();
        encode(&mut wire, Kind::Data, 0, 1, 5, b"payload");
        let mut decoder = Decoder::new();
        decoder.space().copy_from_slice(&wire[..HEADER_LEN]);
        assert!(!decoder.advance(HEADER_LEN));
        decoder.space().copy_from_slice(&wire[HEADER_LEN..]);
        assert!(decoder.advance(7));
        let (header, buffer) = decoder.take(Vec::new()).expect("complete");
        assert_eq!((header.stream, &buffer[HEADER_LEN..]), (5, &b"payload"[..]));
        assert_eq!(decoder.space().len(), HEADER_LEN);
    }
}
