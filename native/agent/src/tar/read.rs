use super::fields::{check_sum, number, pax, short_name, until_zero, Overrides};
use super::{padding, BLOCK};
use std::fmt;

/// Where an archive's bytes come from.
pub trait Source {
    /// The bytes at hand, at least one; none only at the very end.
    fn chunk(&mut self) -> Result<&[u8], TarError>;
    /// So many of them are done with.
    fn consume(&mut self, count: usize);
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TarError {
    /// Truncated, damaged, or of a kind that is not known.
    Invalid(String),
    /// Whoever sent it has gone.
    Cancelled,
}

impl fmt::Display for TarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TarError::Invalid(why) => f.write_str(why),
            TarError::Cancelled => f.write_str("the copy was cancelled"),
        }
    }
}

pub fn invalid<T>(why: impl Into<String>) -> Result<T, TarError> {
    Err(TarError::Invalid(why.into()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// One entry of an archive; names are bytes as they were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub size: u64,
    /// Permission bits only.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds.
    pub mtime: (i64, u32),
    pub device: (u32, u32),
}

/// Most bytes of PAX records or of one long name.
const MOST_EXTRA: u64 = 1 << 20;

pub struct Reader<S> {
    pub source: S,
    /// Bytes of the present entry's content, and of its padding, that have not been read.
    left: u64,
    pad: usize,
}

impl<S: Source> Reader<S> {
    pub fn new(source: S) -> Reader<S> {
        Reader {
            source,
            left: 0,
            pad: 0,
        }
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), TarError> {
        let mut at = 0;
        while at < out.len() {
            let chunk = self.source.chunk()?;
            if chunk.is_empty() {
                return invalid(
                    "the archive ends in the middle of an entry or without its end mark",
                );
            }
            let count = chunk.len().min(out.len() - at);
            out[at..at + count].copy_from_slice(&chunk[..count]);
            self.source.consume(count);
            at += count;
        }
        Ok(())
    }

    /// The next piece of the present entry's content; empty at its end. Tell with [`Reader::took`] how much was used.
    pub fn content(&mut self) -> Result<&[u8], TarError> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let chunk = self.source.chunk()?;
        if chunk.is_empty() {
            return invalid("the archive ends in the middle of a file");
        }
        Ok(&chunk[..chunk.len().min(left)])
    }

    pub fn took(&mut self, count: usize) {
        self.source.consume(count);
        self.left -= count as u64;
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        loop {
            let count = self.content()?.len();
            if count == 0 {
                break;
            }
            self.took(count);
        }
        let mut pad = [0; BLOCK];
        let count = std::mem::take(&mut self.pad);
        self.fill(&mut pad[..count])
    }

    fn whole_content(&mut self) -> Result<Vec<u8>, TarError> {
        if self.left > MOST_EXTRA {
            return invalid("an extended header is larger than 1 MiB");
        }
        let mut bytes = Vec::new();
        loop {
            let chunk = self.content()?;
            if chunk.is_empty() {
                break;
            }
            bytes.extend_from_slice(chunk);
            let count = chunk.len();
            self.took(count);
        }
        self.skip_rest()?;
        Ok(bytes)
    }

    /// The next entry, or none at the end mark. What was not read of the one before is skipped.
    pub fn next(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip_rest()?;
        let mut overrides = Overrides::default();
        loop {
            let mut block = [0; BLOCK];
            self.fill(&mut block)?;
            if block.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            check_sum(&block)?;
            self.left = number(&block[124..136])?;
            self.pad = padding(self.left);
            match block[156] {
                b'x' => pax(&self.whole_content()?, &mut overrides)?,
                // Global records speak of the archive's origin.
                b'g' => drop(self.whole_content()?),
                b'L' => overrides.name = Some(until_zero(&self.whole_content()?).to_vec()),
                b'K' => overrides.link = Some(until_zero(&self.whole_content()?).to_vec()),
                kind => return self.entry(&block, kind, overrides).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        block: &[u8; BLOCK],
        kind: u8,
        overrides: Overrides,
    ) -> Result<Entry, TarError> {
        let kind = match kind {
            b'0' | 0 | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                return invalid(format!(
                    "entries of type {:?} are not known",
                    char::from(other)
                ))
            }
        };
        if let Some(size) = overrides.size {
            self.left = size;
        }
        if kind != Kind::File {
            // Some writers give a directory or a link the size of what it stands for, but no content.
            self.left = 0;
        }
        self.pad = padding(self.left);
        let small = |range: std::ops::Range<usize>| {
            number(&block[range]).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
        };
        let mtime = overrides
            .mtime
            .unwrap_or((i64::try_from(number(&block[136..148])?).unwrap_or(0), 0));
        Ok(Entry {
            kind,
            name: overrides.name.unwrap_or_else(|| short_name(block)),
            link: overrides
                .link
                .unwrap_or_else(|| until_zero(&block[157..257]).to_vec()),
            size: self.left,
            mode: small(100..108)? & 0o7777,
            uid: overrides.uid.map_or_else(|| small(108..116), Ok)?,
            gid: overrides.gid.map_or_else(|| small(116..124), Ok)?,
            mtime,
            device: (small(329..337)?, small(337..345)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{header, Meta, END};
    use super::*;

    /// An archive in pieces of a given size.
    struct Pieces<'a>(&'a [u8], usize);

    impl Source for Pieces<'_> {
        fn chunk(&mut self) -> Result<&[u8], TarError> {
            Ok(&self.0[..self.0.len().min(self.1)])
        }
        fn consume(&mut self, count: usize) {
            self.0 = &self.0[count..];
        }
    }

    fn meta(name: &[u8], size: u64) -> Meta<'_> {
        Meta {
            kind: b'0',
            name,
            link: b"",
            size,
            mode: 0o4755,
            uid: 1000,
            gid: 3_000_000,
            mtime: (1_700_000_000, 123_456_789),
            device: (0, 0),
        }
    }

    #[test]
    fn what_is_written_is_read_again_however_it_is_cut() {
        let long = [b"deep/".repeat(60), b"file".to_vec()].concat();
        let mut archive = header(&meta(b"short", 5));
        archive.extend_from_slice(b"hello");
        archive.resize(archive.len() + padding(5), 0);
        archive.extend(header(&meta(&long, 0)));
        archive.extend_from_slice(&END);
        for step in [1, 7, 512, 100_000] {
            let mut reader = Reader::new(Pieces(&archive, step));
            let first = reader.next().expect("valid").expect("first");
            assert_eq!(
                (
                    &first.name[..],
                    first.size,
                    first.mode,
                    first.uid,
                    first.gid
                ),
                (&b"short"[..], 5, 0o4755, 1000, 3_000_000)
            );
            assert_eq!(first.mtime, (1_700_000_000, 123_456_789));
            assert_eq!(reader.whole_content().expect("content"), b"hello");
            assert_eq!(reader.next().expect("valid").expect("second").name, long);
            assert_eq!(reader.next(), Ok(None));
        }
    }

    #[test]
    fn an_archive_cut_anywhere_is_invalid() {
        let mut archive = header(&meta(b"file", 700));
        archive.resize(archive.len() + 1024, b'x');
        archive.extend_from_slice(&END);
        for length in (0..archive.len() - END.len()).step_by(37) {
            let mut reader = Reader::new(Pieces(&archive[..length], 4096));
            let end = std::iter::from_fn(|| reader.next().transpose()).find_map(Result::err);
            assert!(matches!(end, Some(TarError::Invalid(_))), "cut at {length}");
        }
    }

    #[test]
    fn damage_is_noticed_and_nothing_panics() {
        let mut archive = header(&meta(b"file", 0));
        archive.extend_from_slice(&END);
        for at in 0..archive.len() - END.len() {
            for value in [0u8, 0x20, 0x7f, 0x80, 0xff] {
                let mut bad = archive.clone();
                bad[at] = value;
                let mut reader = Reader::new(Pieces(&bad, 512));
                while let Ok(Some(_)) = reader.next() {}
            }
        }
        let mut bad = archive.clone();
        let last_header = bad.len() - END.len() - BLOCK;
        bad[last_header] ^= 1;
        let mut reader = Reader::new(Pieces(&bad, 512));
        assert!(matches!(reader.next(), Err(TarError::Invalid(_))));
    }
}
