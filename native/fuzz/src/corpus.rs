//! What is mutated: the golden vectors, and archives of every kind that is written or only read.

use crate::tar::{header, padding, Meta, BLOCK};
use serde_json::Value as Json;
use viv_protocol::{Decoder, Kind, HEADER_LEN};

pub struct Corpus {
    /// Whole frames of a few KiB at most: larger ones only cost time.
    pub frames: Vec<Vec<u8>>,
    /// A greeting of the conversation that most frames belong to.
    pub hello: Vec<u8>,
    /// Payloads of frames that have a CBOR body.
    pub bodies: Vec<Vec<u8>>,
    /// Entries of archives, each whole blocks, with the extended headers before it.
    pub entries: Vec<Vec<u8>>,
}

const LARGEST: usize = 4096;

impl Corpus {
    pub fn read() -> Corpus {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../packages/protocol/vectors/frames.json"
        );
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let vectors: Vec<Json> = serde_json::from_str(&text).expect("JSON");
        let frames: Vec<Vec<u8>> = vectors
            .iter()
            .map(|vector| bytes_of(vector["bytes"].as_str().expect("hex")))
            .filter(|frame| frame.len() < LARGEST)
            .collect();
        let is_hello = |vector: &&Json| vector["name"] == "hello";
        let hello = vectors.iter().find(is_hello).expect("a greeting");
        Corpus {
            hello: bytes_of(hello["bytes"].as_str().expect("hex")),
            bodies: frames.iter().filter_map(|frame| body(frame)).collect(),
            frames,
            entries: entries(),
        }
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
        .collect()
}

fn body(frame: &[u8]) -> Option<Vec<u8>> {
    let mut body = None;
    Decoder::new().push(frame, |frame| {
        use Kind::{Event, Hello, Request, Reset, Response, Welcome};
        let has_body = matches!(
            Kind::from_byte(frame.header.kind),
            Some(Hello | Welcome | Request | Response | Event | Reset)
        );
        body = has_body.then(|| frame.payload.to_vec());
    });
    body
}

const META: Meta<'static> = Meta {
    kind: b'0',
    name: b"dir/file",
    link: b"",
    size: 0,
    mode: 0o4755,
    uid: 1000,
    gid: 100,
    mtime: (1_700_000_000, 123_456_789),
    device: (0, 0),
};

fn entries() -> Vec<Vec<u8>> {
    let long = b"deep/".repeat(60);
    let mut entries = vec![
        with_content(header(&Meta { size: 700, ..META }), 700),
        header(&Meta {
            name: &long,
            link: &long,
            kind: b'2',
            uid: 3_000_000,
            ..META
        }),
        header(&Meta {
            kind: b'1',
            link: b"dir/other",
            ..META
        }),
        header(&Meta {
            kind: b'3',
            device: (5, 1),
            ..META
        }),
        header(&Meta {
            kind: b'5',
            name: b"dir/",
            mtime: (-2, 750_000_000),
            ..META
        }),
        header(&Meta { kind: b'6', ..META }),
    ];
    for kind in [b'L', b'K', b'x', b'g'] {
        let content: &[u8] = match kind {
            b'L' | b'K' => b"a name from before POSIX\0",
            _ => b"30 mtime=1767323045.678901234\n13 uid=70000\n11 size=20\n",
        };
        let size = content.len() as u64;
        let mut entry = header(&Meta {
            kind,
            size,
            mtime: (0, 0),
            ..META
        });
        entry.extend_from_slice(content);
        entry.resize(entry.len() + padding(size), 0);
        entry.extend(with_content(header(&Meta { size: 20, ..META }), 20));
        entries.push(entry);
    }
    entries.push(binary_numbers());
    entries
}

fn with_content(mut entry: Vec<u8>, size: usize) -> Vec<u8> {
    entry.resize(entry.len() + size, b'x');
    entry.resize(entry.len() + padding(size as u64), 0);
    entry
}

/// As GNU's tar writes what octal digits have no room for.
fn binary_numbers() -> Vec<u8> {
    let mut entry = header(&Meta {
        mtime: (0, 0),
        ..META
    });
    for field in [108..116, 116..124, 136..148] {
        entry[field.start] = 0x80;
        entry[field.start + 1..field.end].fill(0);
        entry[field.end - 2] = 0x77;
    }
    set_check(&mut entry[..BLOCK]);
    entry
}

/// Makes a header's checksum right again.
pub fn set_check(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Bytes of a frame's header; damage behind it keeps the check right, and so reaches what reads bodies.
pub const PAYLOAD: usize = HEADER_LEN;
