//! What stands in headers: numbers, names, checksums, and the PAX records before them.

use super::read::{invalid, TarError};
use super::BLOCK;

/// What the entry before an entry says about it.
#[derive(Default)]
pub struct Overrides {
    pub name: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mtime: Option<(i64, u32)>,
}

pub fn until_zero(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    &bytes[..end]
}

pub fn short_name(block: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_zero(&block[0..100]);
    let prefix = until_zero(&block[345..500]);
    // Only POSIX archives have a prefix; GNU's old ones keep times there.
    if &block[257..263] != b"ustar\0" || prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

/// Octal text, or the binary form that large numbers take.
pub fn number(field: &[u8]) -> Result<u64, TarError> {
    if field[0] & 0x80 != 0 {
        if field[0] == 0xff {
            // Negative: a time before 1970 is the only one there is, and 1970 is near enough.
            return Ok(0);
        }
        // The first byte is the mark, in fields of eight bytes too.
        let start = field.len().saturating_sub(8).max(1);
        if field[0] != 0x80 || field[1..start].iter().any(|byte| *byte != 0) {
            return invalid("a number in a header is out of range");
        }
        return Ok(field[start..]
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    }
    let text = until_zero(field);
    let mut sum: u64 = 0;
    for byte in text
        .iter()
        .skip_while(|byte| **byte == b' ')
        .take_while(|byte| **byte != b' ')
    {
        if !(b'0'..=b'7').contains(byte) {
            return invalid("a number in a header is not octal");
        }
        sum = sum << 3 | u64::from(byte - b'0');
    }
    Ok(sum)
}

pub fn check_sum(block: &[u8; BLOCK]) -> Result<(), TarError> {
    let told = number(&block[148..156])?;
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if (148..156).contains(&at) {
                32
            } else {
                u64::from(*byte)
            }
        })
        .sum();
    if sum == told {
        Ok(())
    } else {
        invalid("a header's checksum is wrong")
    }
}

/// Records of `LENGTH KEY=VALUE\n`.
pub fn pax(mut bytes: &[u8], overrides: &mut Overrides) -> Result<(), TarError> {
    let damaged = || TarError::Invalid("a PAX header is damaged".to_owned());
    while !bytes.is_empty() {
        let space = bytes
            .iter()
            .position(|byte| *byte == b' ')
            .ok_or_else(damaged)?;
        let length: usize = text(&bytes[..space]).ok_or_else(damaged)?;
        let record = bytes
            .get(space + 1..length)
            .and_then(|record| record.strip_suffix(b"\n"))
            .ok_or_else(damaged)?;
        let equals = record
            .iter()
            .position(|byte| *byte == b'=')
            .ok_or_else(damaged)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" => overrides.name = Some(value.to_vec()),
            b"linkpath" => overrides.link = Some(value.to_vec()),
            b"size" => overrides.size = Some(text(value).ok_or_else(damaged)?),
            b"uid" => overrides.uid = Some(text(value).ok_or_else(damaged)?),
            b"gid" => overrides.gid = Some(text(value).ok_or_else(damaged)?),
            b"mtime" => overrides.mtime = Some(time(value).ok_or_else(damaged)?),
            _ if key.starts_with(b"GNU.sparse.") => {
                return invalid("sparse archives are not known")
            }
            _ => {}
        }
        bytes = &bytes[length..];
    }
    Ok(())
}

fn text<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// `1767323045.678901234`
fn time(bytes: &[u8]) -> Option<(i64, u32)> {
    let written = std::str::from_utf8(bytes).ok()?;
    let (whole, fraction) = written.split_once('.').unwrap_or((written, ""));
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let (seconds, nanos): (i64, u32) = (whole.parse().ok()?, digits.parse().ok()?);
    // -1.25 is a quarter of a second after -2.
    if whole.starts_with('-') && nanos > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos));
    }
    Some((seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GNU's tar marks the first byte of the field, which is no digit, however short the field is.
    #[test]
    fn binary_numbers_are_read_from_short_fields_and_long_ones() {
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0x2d, 0xc6, 0xc0]), Ok(3_000_000));
        assert_eq!(
            number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1]),
            Ok((2 << 32) + 1)
        );
        assert!(number(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(number(&[0x81, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn times_before_1970_and_fractions_are_read() {
        assert_eq!(time(b"12.5"), Some((12, 500_000_000)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"7"), Some((7, 0)));
        assert_eq!(time(b"x"), None);
    }
}
