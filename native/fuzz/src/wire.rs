//! The agent's end of a port: whatever a host says, what it holds and answers stays small, and the next greeting is heard.

use crate::corpus::{Corpus, PAYLOAD};
use crate::link::{Incoming, Link};
use crate::random::Random;
use crate::{memory, sys, Outcome};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use viv_protocol::{encode, Decoder, Kind, MAGIC};

/// Of the conversation that must be possible after any noise.
const NEXT_EPOCH: u64 = 0x5151;
/// The decoder's own buffer, one that is given away, one that replaces it, and small change.
const MOST_HELD: usize = 4 * Decoder::BUFFER_LEN;
/// An answer has an envelope of its own.
const ENVELOPE: usize = 256;

/// A port, and the host's end of it.
fn port() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: room for two descriptors, which are new and ours.
    unsafe {
        sys::check(libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr())).expect("sockets");
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    }
}

fn noise(random: &mut Random, corpus: &Corpus) -> Vec<u8> {
    let mut noise = Vec::new();
    for _ in 0..=random.below(12) {
        let mut frame = random.of(&corpus.frames).clone();
        match random.below(4) {
            0 => random.mutate(&mut frame),
            1 if frame.len() > PAYLOAD => {
                let at = PAYLOAD + random.below(frame.len() - PAYLOAD);
                frame[at] = random.next() as u8;
            }
            2 => frame.extend(MAGIC.repeat(random.below(200))),
            _ => {}
        }
        noise.extend(frame);
    }
    noise
}

struct Host {
    link: Link,
    end: OwnedFd,
    frames: usize,
    greetings: usize,
    answered: usize,
    scratch: Vec<u8>,
}

impl Host {
    /// Says `bytes` in pieces, and takes every answer.
    fn say(&mut self, mut bytes: &[u8], mut piece: impl FnMut() -> usize) {
        while !bytes.is_empty() {
            let count = bytes.len().min(piece());
            let count = sys::write(self.end.as_raw_fd(), &bytes[..count]).expect("room");
            bytes = &bytes[count..];
            while let Some(incoming) = self.link.next(&mut Vec::new) {
                match incoming {
                    Incoming::Hello => self.greetings += 1,
                    Incoming::Frame(_, buffer) => {
                        self.frames += 1;
                        assert!(buffer.len() <= Decoder::BUFFER_LEN);
                    }
                }
            }
            self.link.flush();
            while let Ok(count) = sys::read(self.end.as_raw_fd(), &mut self.scratch) {
                self.answered += count;
            }
        }
    }
}

pub fn run(random: &mut Random, corpus: &Corpus) -> Outcome {
    let (ours, end) = port();
    let noise = noise(random, corpus);
    // More than any frame that the noise may have begun.
    let silence = vec![0; Decoder::BUFFER_LEN];
    let mut hello = Vec::new();
    encode(
        &mut hello,
        Kind::Hello,
        0,
        NEXT_EPOCH,
        0,
        &corpus.hello[PAYLOAD..],
    );
    let scratch = vec![0; 1 << 16];
    let greeted = !random.one_in(8);
    let fine = random.one_in(4);
    memory::within(MOST_HELD, || {
        let mut host = Host {
            link: Link::new(ours),
            end,
            frames: 0,
            greetings: 0,
            answered: 0,
            scratch,
        };
        if greeted {
            host.say(&corpus.hello, || usize::MAX);
            assert_eq!(host.greetings, 1);
        }
        host.say(&noise, || 1 + random.below(if fine { 40 } else { 5000 }));
        let said = corpus.hello.len() + noise.len();
        assert!(
            host.answered <= said + ENVELOPE,
            "{} bytes answered to {said}",
            host.answered
        );
        host.say(&silence, || 1 << 14);
        let before = host.greetings;
        host.say(&hello, || usize::MAX);
        assert_eq!(host.greetings, before + 1, "deaf");
        if host.frames > 0 {
            Outcome::Taken
        } else {
            Outcome::Refused
        }
    })
}
