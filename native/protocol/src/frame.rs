/// First bytes of every frame: `VIV1`.
pub const MAGIC: [u8; 4] = *b"VIV1";
pub const VERSION: u8 = 1;
/// Bytes of a header.
pub const HEADER_LEN: usize = 28;
/// Most bytes of payload in one frame.
pub const MAX_PAYLOAD: usize = 65_536;

/// What a frame is; the numbers are the contract's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Hello = 0x01,
    Welcome = 0x02,
    Request = 0x10,
    Response = 0x11,
    Event = 0x12,
    Data = 0x20,
    Eof = 0x21,
    Credit = 0x22,
    Reset = 0x23,
    Ping = 0x30,
    Pong = 0x31,
}

impl Kind {
    pub fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            0x01 => Kind::Hello,
            0x02 => Kind::Welcome,
            0x10 => Kind::Request,
            0x11 => Kind::Response,
            0x12 => Kind::Event,
            0x20 => Kind::Data,
            0x21 => Kind::Eof,
            0x22 => Kind::Credit,
            0x23 => Kind::Reset,
            0x30 => Kind::Ping,
            0x31 => Kind::Pong,
            _ => return None,
        })
    }
}

/// The fixed part of a frame. `kind` stays a number so that types of later versions can be skipped whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub kind: u8,
    pub flags: u16,
    pub epoch: u64,
    pub stream: u32,
    /// Bytes of payload, at most [`MAX_PAYLOAD`].
    pub length: u32,
}

/// Why 28 bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    Magic,
    Version,
    Check,
    Length,
}

impl Header {
    pub fn new(kind: Kind, channel: u8, epoch: u64, stream: u32, length: u32) -> Header {
        Header {
            kind: kind as u8,
            flags: u16::from(channel),
            epoch,
            stream,
            length,
        }
    }

    /// The channel of DATA, EOF and CREDIT frames.
    pub fn channel(&self) -> u8 {
        self.flags.to_le_bytes()[0]
    }

    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = self.kind;
        bytes[6..8].copy_from_slice(&self.flags.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.stream.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.length.to_le_bytes());
        let check = crc32fast::hash(&bytes[0..24]);
        bytes[24..28].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Header, HeaderError> {
        let u32_at = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if bytes[0..4] != MAGIC {
            return Err(HeaderError::Magic);
        }
        if bytes[4] != VERSION {
            return Err(HeaderError::Version);
        }
        if crc32fast::hash(&bytes[0..24]) != u32_at(24) {
            return Err(HeaderError::Check);
        }
        let length = u32_at(20);
        if length as usize > MAX_PAYLOAD {
            return Err(HeaderError::Length);
        }
        Ok(Header {
            kind: bytes[5],
            flags: u16::from_le_bytes([bytes[6], bytes[7]]),
            epoch: u64::from(u32_at(8)) | u64::from(u32_at(12)) << 32,
            stream: u32_at(16),
            length,
        })
    }
}

/// Appends one frame. A payload beyond [`MAX_PAYLOAD`] is the caller's defect and is cut there.
pub fn encode(out: &mut Vec<u8>, kind: Kind, channel: u8, epoch: u64, stream: u32, payload: &[u8]) {
    let payload = &payload[..payload.len().min(MAX_PAYLOAD)];
    out.reserve(HEADER_LEN + payload.len());
    out.extend_from_slice(
        &Header::new(kind, channel, epoch, stream, payload.len() as u32).to_bytes(),
    );
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_wire() {
        let header = Header::new(Kind::Data, 2, 0x0102_0304_0506_0708, 77, 65_536);
        assert_eq!(Header::parse(&header.to_bytes()), Ok(header));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = Header::new(Kind::Request, 0, u64::MAX - 5, 3, 12).to_bytes();
        for bit in 0..HEADER_LEN * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::parse(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_even_with_a_right_check() {
        let header = Header::new(Kind::Data, 0, 1, 1, 65_537).to_bytes();
        assert_eq!(Header::parse(&header), Err(HeaderError::Length));
    }
}
