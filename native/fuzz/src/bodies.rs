//! Bodies: read or refused; what is read can be written, and asked for any field as any kind.

use crate::corpus::Corpus;
use crate::link::parse_request;
use crate::random::Random;
use crate::{memory, Outcome};
use viv_protocol::{Fields, Value};

/// A list of one-byte items takes the most: a `Value` each, in a vector that is growing into one of twice its size.
const HELD_PER_BYTE: usize = 4 * std::mem::size_of::<Value>();
const SMALL_CHANGE: usize = 4096;

pub fn run(random: &mut Random, corpus: &Corpus) -> Outcome {
    let mut bytes = random.of(&corpus.bodies).clone();
    if random.one_in(4) {
        let other = random.of(&corpus.bodies);
        let (from, to) = (random.below(bytes.len()), random.below(other.len()));
        bytes.truncate(from);
        bytes.extend_from_slice(&other[to..]);
    }
    random.mutate(&mut bytes);
    if random.one_in(64) {
        bytes = bytes.repeat(1 + random.below(40));
    }
    let most = bytes.len() * HELD_PER_BYTE + SMALL_CHANGE;
    let Ok(value) = memory::within(most, || Value::decode(&bytes)) else {
        assert!(parse_request(&bytes).is_err());
        return Outcome::Refused;
    };
    let written = value.encode();
    assert!(
        written.len() <= 9 * bytes.len(),
        "{} bytes became {}",
        bytes.len(),
        written.len()
    );
    let again = Value::decode(&written).expect("own bytes");
    assert_eq!(again.encode(), written);
    ask(Fields(&value), 0);
    // What is asked of a request's parameters is asked by name.
    let _refusal_is_fine = parse_request(&bytes);
    Outcome::Taken
}

/// Every field as every kind; a field has at most one of them.
fn ask(fields: Fields<'_>, depth: usize) {
    assert!(depth <= viv_protocol::MAX_DEPTH);
    let Value::Map(pairs) = fields.0 else { return };
    for (key, _) in pairs {
        let kinds = [
            fields.text(key).is_ok(),
            fields.uint(key).is_ok(),
            fields.flag(key).is_ok(),
            fields.bytes(key).is_ok(),
            fields.texts(key).is_ok(),
            fields.inner(key).is_ok(),
        ];
        assert!(
            kinds.iter().filter(|is| **is).count() <= 1,
            "{key} is two things"
        );
        assert!(
            fields.small::<u8>(key).is_err() || fields.uint(key).is_ok_and(|number| number < 256)
        );
        let _any = fields.pairs(key);
        if let Ok(inner) = fields.inner(key) {
            ask(inner, depth + 1);
        }
    }
}
