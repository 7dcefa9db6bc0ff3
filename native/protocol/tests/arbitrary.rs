//! Any bytes at all: no panic, no growth, and a good frame is still found behind them.
//! The bytes come from a fixed generator, so a failure repeats.

use viv_protocol::{encode, Decoder, Header, Kind, Value, HEADER_LEN, MAGIC};

/// splitmix64: small, and good enough to hit every branch.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// Noise that looks like frames: whole ones, torn ones, wrong ones, and loose magics.
fn noise(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..random.below(12) {
        match random.below(4) {
            0 => {
                let length = random.below(200);
                out.extend(random.bytes(length));
            }
            1 => out.extend_from_slice(&MAGIC[..1 + random.below(4)]),
            2 => {
                let start = out.len();
                let payload = random.bytes(40);
                encode(
                    &mut out,
                    Kind::Data,
                    1,
                    random.next(),
                    random.next() as u32,
                    &payload,
                );
                let at = start + random.below(HEADER_LEN);
                out[at] ^= 1 << random.below(8);
            }
            _ => {
                let mut frame = Vec::new();
                encode(&mut frame, Kind::Event, 0, random.next(), 0, b"torn");
                // Cut before the length ends: what follows can then not complete it by chance.
                frame.truncate(random.below(HEADER_LEN - 8));
                out.extend(frame);
            }
        }
    }
    out
}

#[test]
fn a_good_frame_is_found_behind_any_noise() {
    let mut random = Random(1);
    for round in 0..3_000 {
        let mut wire = noise(&mut random);
        encode(&mut wire, Kind::Ping, 0, 0x5151, 4242, b"after the noise");
        let mut decoder = Decoder::new();
        let mut found = false;
        let mut rest = &wire[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + random.below(90)).min(rest.len()));
            rest = after;
            decoder.push(piece, |frame| {
                found |= frame.header.epoch == 0x5151 && frame.payload == b"after the noise"
            });
        }
        assert!(found, "round {round}");
    }
}

#[test]
fn the_decoder_never_asks_for_more_than_one_frame() {
    let mut random = Random(2);
    let mut decoder = Decoder::new();
    for _ in 0..3_000 {
        let bytes = noise(&mut random);
        decoder.push(&bytes, |frame| assert!(frame.payload.len() <= 65_536));
        assert!(decoder.space().len() <= Decoder::BUFFER_LEN);
    }
}

#[test]
fn headers_of_any_bytes_are_judged_without_a_panic() {
    let mut random = Random(3);
    for _ in 0..50_000 {
        let mut bytes = [0; HEADER_LEN];
        bytes.copy_from_slice(&random.bytes(HEADER_LEN));
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = 1;
        if let Ok(header) = Header::parse(&bytes) {
            assert_eq!(header.to_bytes(), bytes);
        }
    }
}

#[test]
fn bodies_of_any_bytes_are_read_or_refused_and_what_is_read_can_be_written() {
    let mut random = Random(4);
    for _ in 0..50_000 {
        let length = random.below(64);
        if let Ok(value) = Value::decode(&random.bytes(length)) {
            let again = Value::decode(&value.encode()).expect("own bytes");
            assert_eq!(again.encode(), value.encode());
        }
    }
}
