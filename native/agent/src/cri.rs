//! Output as lines in the format of the Kubernetes CRI.

use crate::clock;

/// Lines are cut after so many bytes.
const LONGEST: usize = 16 * 1024;

/// Cuts one stream into lines; keeps what has not ended yet.
pub struct Lines {
    stream: &'static str,
    pending: Vec<u8>,
}

impl Lines {
    pub fn new(stream: &'static str) -> Lines {
        Lines {
            stream,
            pending: Vec::new(),
        }
    }

    /// Appends to `out` every line, or piece of 16 KiB, that `bytes` completes, which came at `nanos` since 1970.
    pub fn push(&mut self, bytes: &[u8], nanos: u64, out: &mut Vec<u8>) {
        let stamp = clock::rfc3339(nanos);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            self.pending.extend_from_slice(text);
            let mut at = 0;
            while self.pending.len() - at > LONGEST {
                line(
                    out,
                    &stamp,
                    self.stream,
                    'P',
                    &self.pending[at..at + LONGEST],
                );
                at += LONGEST;
            }
            if ended {
                line(out, &stamp, self.stream, 'F', &self.pending[at..]);
                at = self.pending.len();
            }
            self.pending.drain(..at);
        }
    }

    /// The stream has ended: a last line without an end is told as a piece.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            let rest = std::mem::take(&mut self.pending);
            line(
                out,
                &clock::rfc3339(clock::now_nanos()),
                self.stream,
                'P',
                &rest,
            );
        }
    }
}

pub fn line(out: &mut Vec<u8>, stamp: &str, stream: &str, tag: char, text: &[u8]) {
    out.extend_from_slice(format!("{stamp} {stream} {tag} ").as_bytes());
    out.extend_from_slice(text);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_times(out: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(out).into_owned();
        text.lines()
            .map(|line| line.split_once(' ').map_or("", |(_, rest)| rest).to_owned())
            .collect()
    }

    #[test]
    fn lines_are_told_once_they_are_whole() {
        let mut out = Vec::new();
        let mut lines = Lines::new("stdout");
        lines.push(b"one\ntw", 0, &mut out);
        lines.push(b"o\n\nthree", 0, &mut out);
        assert_eq!(
            without_times(&out),
            ["stdout F one", "stdout F two", "stdout F "]
        );
        out.clear();
        lines.finish(&mut out);
        assert_eq!(without_times(&out), ["stdout P three"]);
    }

    #[test]
    fn long_lines_are_cut_and_their_pieces_marked() {
        let mut out = Vec::new();
        let mut lines = Lines::new("stderr");
        lines.push(&[b'x'; 40_000], 0, &mut out);
        lines.push(b"\n", 0, &mut out);
        let told = without_times(&out);
        let marks: Vec<_> = told
            .iter()
            .map(|line| (&line[7..8], line.len() - 9))
            .collect();
        assert_eq!(marks, [("P", 16_384), ("P", 16_384), ("F", 7_232)]);
    }

    #[test]
    fn bytes_that_are_no_text_stay_as_they_are() {
        let mut out = Vec::new();
        Lines::new("stdout").push(b"\xff\x00\n", 0, &mut out);
        assert!(out.ends_with(b" stdout F \xff\x00\n"));
    }
}
