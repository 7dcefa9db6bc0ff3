//! Archives: each entry takes at least a block, memory follows what has been sent and not what it says of itself.

use crate::corpus::{set_check, Corpus};
use crate::random::Random;
use crate::tar::{Reader, Source, TarError, BLOCK, END};
use crate::{memory, Outcome};

/// Names and records are held as they came and as what they say, in vectors that are growing.
const HELD_PER_BYTE: usize = 8;
const SMALL_CHANGE: usize = 4096;

/// Where a header has numbers: mode, owner, group, size, time, device.
const NUMBERS: [usize; 7] = [100, 108, 116, 124, 124, 136, 329];

struct Pieces<'a> {
    bytes: &'a [u8],
    most: usize,
    read: usize,
}

impl Source for Pieces<'_> {
    fn chunk(&mut self) -> Result<&[u8], TarError> {
        let rest = &self.bytes[self.read..];
        Ok(&rest[..rest.len().min(self.most)])
    }

    fn consume(&mut self, count: usize) {
        self.read += count;
        assert!(self.read <= self.bytes.len(), "more than there is");
    }
}

fn archive(random: &mut Random, corpus: &Corpus) -> Vec<u8> {
    let mut archive = Vec::new();
    for _ in 0..=random.below(6) {
        let mut entry = random.of(&corpus.entries).clone();
        random.mutate(&mut entry);
        if random.one_in(3) && entry.len() >= BLOCK {
            let digits = random.below(12);
            let number = random.next() >> random.below(64);
            let field = format!("{number:0digits$o}\0");
            let at = *random.of(&NUMBERS);
            let length = field.len().min(12);
            entry[at..at + length].copy_from_slice(&field.as_bytes()[..length]);
        }
        if !random.one_in(8) {
            entry.resize(entry.len().next_multiple_of(BLOCK).max(BLOCK), 0);
            // With a right sum damage is read instead of refused.
            let blocks = entry.len() / BLOCK;
            for at in [0, random.below(blocks)] {
                set_check(&mut entry[at * BLOCK..][..BLOCK]);
            }
        }
        archive.extend(entry);
    }
    if !random.one_in(4) {
        archive.extend_from_slice(&END);
    }
    archive
}

pub fn run(random: &mut Random, corpus: &Corpus) -> Outcome {
    let archive = archive(random, corpus);
    let fine = random.one_in(4);
    let most = 1 + random.below(if fine { 20 } else { 4096 });
    memory::within(archive.len() * HELD_PER_BYTE + SMALL_CHANGE, || {
        let mut reader = Reader::new(Pieces {
            bytes: &archive,
            most,
            read: 0,
        });
        loop {
            let before = reader.source.read;
            match reader.next() {
                Ok(Some(entry)) => {
                    assert!(reader.source.read >= before + BLOCK, "an entry of nothing");
                    assert!(entry.name.len() + entry.link.len() <= archive.len());
                    if read_some(random, &mut reader).is_err() {
                        return Outcome::Refused;
                    }
                }
                Ok(None) => return Outcome::Taken,
                Err(TarError::Invalid(why)) => {
                    assert!(!why.is_empty());
                    return Outcome::Refused;
                }
                Err(TarError::Cancelled) => panic!("nobody has cancelled anything"),
            }
        }
    })
}

/// Content, or some of it: what is left is the reader's to skip.
fn read_some(random: &mut Random, reader: &mut Reader<Pieces<'_>>) -> Result<(), TarError> {
    for _ in 0..random.below(40) {
        let count = reader.content()?.len();
        if count == 0 {
            break;
        }
        reader.took(1 + random.below(count));
    }
    Ok(())
}
