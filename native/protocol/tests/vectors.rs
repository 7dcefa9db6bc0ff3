//! The golden vectors that the host's implementation is tested with as well, both ways.

use serde_json::Value as Json;
use std::collections::BTreeMap;
use viv_protocol::{Decoder, Header, Kind, Value, HEADER_LEN};

fn vectors(name: &str) -> Vec<Json> {
    let path = format!(
        "{}/../../packages/protocol/vectors/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn hex(vector: &Json, key: &str) -> Vec<u8> {
    let text = vector[key].as_str().expect("hex");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
        .collect()
}

fn header(vector: &Json) -> Header {
    Header {
        kind: vector["type"].as_u64().expect("type") as u8,
        flags: vector["flags"].as_u64().expect("flags") as u16,
        epoch: u64::from_str_radix(vector["epoch"].as_str().expect("epoch"), 16).expect("hex"),
        stream: vector["stream"].as_u64().expect("stream") as u32,
        length: hex(vector, "payload").len() as u32,
    }
}

fn name(vector: &Json) -> String {
    vector["name"].as_str().expect("name").to_owned()
}

#[test]
fn every_frame_is_written_byte_for_byte() {
    let frames = vectors("frames.json");
    assert!(!frames.is_empty());
    for vector in &frames {
        let mut bytes = header(vector).to_bytes().to_vec();
        bytes.extend(hex(vector, "payload"));
        assert!(bytes == hex(vector, "bytes"), "{}", name(vector));
    }
}

#[test]
fn every_frame_is_read_and_its_body_understood() {
    for vector in &vectors("frames.json") {
        let mut seen = Vec::new();
        Decoder::new().push(&hex(vector, "bytes"), |frame| {
            seen.push((frame.header, frame.payload.to_vec()))
        });
        assert!(
            seen == [(header(vector), hex(vector, "payload"))],
            "{}",
            name(vector)
        );
        let kind = Kind::from_byte(header(vector).kind);
        let has_body = matches!(
            kind,
            Some(
                Kind::Hello
                    | Kind::Welcome
                    | Kind::Request
                    | Kind::Response
                    | Kind::Event
                    | Kind::Reset
            )
        );
        if has_body {
            let body = Value::decode(&hex(vector, "payload"))
                .unwrap_or_else(|error| panic!("{}: {error}", name(vector)));
            // Floats have several widths; everything else is written as the host writes it.
            if !format!("{body:?}").contains("Float") {
                assert!(body.encode() == hex(vector, "payload"), "{}", name(vector));
            }
        }
    }
}

#[test]
fn every_stream_gives_its_frames_however_it_is_cut() {
    let by_bytes: BTreeMap<Vec<u8>, String> = vectors("frames.json")
        .iter()
        .map(|vector| (hex(vector, "bytes"), name(vector)))
        .collect();
    for vector in &vectors("streams.json") {
        let bytes = hex(vector, "bytes");
        let wanted: Vec<&str> = vector["frames"]
            .as_array()
            .expect("frames")
            .iter()
            .map(|name| name.as_str().expect("name"))
            .collect();
        for step in [1, 2, 3, 7, 27, 28, 29, 64, 4096, bytes.len()] {
            let mut decoder = Decoder::new();
            let mut seen = Vec::new();
            for piece in bytes.chunks(step) {
                decoder.push(piece, |frame| {
                    let whole = [&frame.header.to_bytes()[..], frame.payload].concat();
                    seen.push(
                        by_bytes
                            .get(&whole)
                            .cloned()
                            .unwrap_or_else(|| format!("{:?}", frame.header)),
                    );
                });
            }
            assert_eq!(seen, wanted, "{} in pieces of {step}", name(vector));
            assert_eq!(
                decoder.skipped(),
                vector["discarded"].as_u64().expect("discarded"),
                "{} in pieces of {step}",
                name(vector)
            );
        }
    }
    assert_eq!(HEADER_LEN, 28);
}
