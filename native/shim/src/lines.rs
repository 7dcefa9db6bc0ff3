//! Lines from a peer that may send anything: never more than one line's worth of memory.

/// Longest request taken, in bytes.
pub const MAX_LINE: usize = 64 * 1024;

#[derive(Default)]
pub struct Lines {
    pending: Vec<u8>,
}

pub struct TooLong;

impl Lines {
    /// Whole lines that these bytes complete, without their ends; empty lines are skipped.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut whole = Vec::new();
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            if self.pending.len() + piece.len() > MAX_LINE {
                return Err(TooLong);
            }
            self.pending.extend_from_slice(piece);
            if self.pending.last() == Some(&b'\n') {
                self.pending.pop();
                let line = std::mem::take(&mut self.pending);
                if !line.is_empty() {
                    whole.push(line);
                }
            }
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_from_pieces() {
        let mut lines = Lines::default();
        assert!(lines.push(b"ab").ok().unwrap().is_empty());
        assert_eq!(
            lines.push(b"c\n\nd\ne").ok().unwrap(),
            vec![b"abc".to_vec(), b"d".to_vec()]
        );
        assert_eq!(lines.push(b"\n").ok().unwrap(), vec![b"e".to_vec()]);
    }

    #[test]
    fn a_line_without_an_end_is_given_up() {
        let mut lines = Lines::default();
        let chunk = [b'x'; 4096];
        assert!((0..100).any(|_| lines.push(&chunk).is_err()));
    }
}
