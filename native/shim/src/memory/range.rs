//! Where the guest's RAM lies in the VMM, and that it is there.

use super::batch::PAGE;
use crate::failure::Failure;
use serde::Deserialize;

#[derive(Clone, Copy, Deserialize)]
pub struct Range {
    pub address: u64,
    pub bytes: u64,
}

/// What pages are that the VMM has not written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Backing {
    Nothing,
    File,
}

impl Range {
    pub fn pages(&self) -> Result<u64, Failure> {
        // SAFETY: asks for a number.
        if unsafe { libc::sysconf(libc::_SC_PAGESIZE) } != PAGE as i64 {
            return Err(Failure::new("not_supported", "pages here are not 4 KiB"));
        }
        let end = self.address.checked_add(self.bytes);
        if self.bytes == 0
            || self.bytes % PAGE != 0
            || self.address % PAGE != 0
            || end.is_none_or(|end| end > i64::MAX as u64)
        {
            return Err(invalid("it is not made of whole pages"));
        }
        Ok(self.bytes / PAGE)
    }
}

impl Backing {
    /// A range that is not mapped, or shared with others, would look as if nothing in it had been written.
    pub fn of(range: &Range, maps: &str) -> Result<Backing, Failure> {
        let end = range.address.saturating_add(range.bytes);
        let mut at = range.address;
        let mut all = None;
        for (start, stop, mode, inode) in maps.lines().filter_map(mapping) {
            if at >= end || start > at || stop <= at {
                continue;
            }
            if !(mode.starts_with("rw") && mode.ends_with('p')) {
                return Err(invalid("it is not private, or not to be written"));
            }
            let backing = if inode == "0" {
                Backing::Nothing
            } else {
                Backing::File
            };
            if all.is_some_and(|before| before != backing) {
                return Err(invalid("a part of it is of a file, another is not"));
            }
            all = Some(backing);
            at = stop;
        }
        match all {
            Some(backing) if at >= end => Ok(backing),
            _ => Err(invalid("it is not all mapped")),
        }
    }
}

fn invalid(why: &str) -> Failure {
    Failure::new("invalid_request", format!("the range of memory: {why}"))
}

/// A line of `/proc/PID/maps`: start, end, mode, inode.
fn mapping(line: &str) -> Option<(u64, u64, &str, &str)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, stop) = fields.next()?.split_once('-')?;
    let mode = fields.next()?;
    let inode = fields.nth(2)?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(start)?, number(stop)?, mode, inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
1000-2000 rw-p 00000000 00:00 0
2000-4000 rw-p 00000000 00:00 0 [heap]
4000-6000 rw-p 00000000 fe:00 77 /a file
6000-7000 rw-s 00000000 fe:00 77 /a file
9000-a000 r--p 00000000 00:00 0
";

    fn of(address: u64, bytes: u64) -> Result<Backing, String> {
        Backing::of(&Range { address, bytes }, MAPS).map_err(|failure| failure.message)
    }

    #[test]
    fn a_range_may_span_mappings_but_all_of_it_is_mapped_and_private() {
        assert_eq!(of(0x1000, 0x3000), Ok(Backing::Nothing));
        assert_eq!(of(0x5000, 0x1000), Ok(Backing::File));
        for (address, bytes, word) in [
            (0x3000, 0x2000, "of a file"),
            (0x5000, 0x2000, "not private"),
            (0x8000, 0x1000, "not all mapped"),
            (0x9000, 0x1000, "not to be written"),
            (0x0, 0x2000, "not all mapped"),
            (0x5000, 0x9000, "not private"),
        ] {
            assert!(
                of(address, bytes).unwrap_err().contains(word),
                "{address:x}"
            );
        }
    }

    #[test]
    fn a_range_is_whole_pages() {
        let pages = |address, bytes| Range { address, bytes }.pages().map_err(|f| f.code);
        assert_eq!(pages(4096, 8192), Ok(2));
        for (address, bytes) in [(4096, 0), (4096, 100), (100, 4096), (u64::MAX - 4095, 4096)] {
            assert_eq!(pages(address, bytes), Err("invalid_request"));
        }
    }
}
