//! What a shim tells the process that is to be its VMM: `u32` (little-endian) bytes that follow, `u32` arguments, `u32` environment variables, then
//! all of them, each with a NUL. With the first byte come the descriptors.

use std::ffi::{CStr, CString};
use std::io::{self, Read};
use std::mem::size_of;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

/// More than any command line has.
const MOST_BYTES: usize = 1024 * 1024;
const HEAD: usize = 3 * size_of::<u32>();

pub struct Order {
    pub arguments: Vec<CString>,
    pub environment: Vec<CString>,
    pub descriptors: Descriptors,
}

/// In this order.
pub struct Descriptors {
    /// Where it is to work.
    pub directory: OwnedFd,
    /// Its stdout and stderr.
    pub output: OwnedFd,
    /// At 3, 4 and, where there is a third, 5.
    pub numbered: Vec<OwnedFd>,
}

/// None where nobody gives one any more.
pub fn receive(mut from: &UnixStream) -> io::Result<Option<Order>> {
    let mut bytes = [0u8; HEAD];
    let (read, descriptors) = viv_unix::receive(from, &mut bytes)?;
    if read == 0 {
        return Ok(None);
    }
    from.read_exact(&mut bytes[read..])?;
    let [length, arguments, environment] = [0, 4, 8].map(|at| {
        let number = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        u32::from_le_bytes(number) as usize
    });
    let strings = length.checked_sub(HEAD - size_of::<u32>());
    let strings = strings
        .filter(|length| *length <= MOST_BYTES)
        .ok_or_else(|| invalid("its length"))?;
    let mut text = vec![0u8; strings];
    from.read_exact(&mut text)?;
    let (arguments, environment) = parse(&text, arguments, environment)?;
    let mut descriptors = descriptors.into_iter();
    let (Some(directory), Some(output)) = (descriptors.next(), descriptors.next()) else {
        return Err(invalid("its descriptors"));
    };
    let descriptors = Descriptors {
        directory,
        output,
        numbered: descriptors.collect(),
    };
    Ok(Some(Order {
        arguments,
        environment,
        descriptors,
    }))
}

fn parse(
    text: &[u8],
    arguments: usize,
    environment: usize,
) -> io::Result<(Vec<CString>, Vec<CString>)> {
    let mut strings = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let string = CStr::from_bytes_until_nul(rest).map_err(|_| invalid("its last string"))?;
        rest = &rest[string.count_bytes() + 1..];
        strings.push(string.to_owned());
    }
    if arguments == 0 || strings.len() != arguments.saturating_add(environment) {
        return Err(invalid("the number of its strings"));
    }
    let environment = strings.split_off(arguments);
    Ok((strings, environment))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("an order: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn order(length: u32, arguments: u32, environment: u32, text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [length, arguments, environment] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(text);
        bytes
    }

    fn received(bytes: &[u8]) -> io::Result<Option<Order>> {
        let (mut to, from) = UnixStream::pair().unwrap();
        to.write_all(bytes).unwrap();
        drop(to);
        receive(&from)
    }

    #[test]
    fn arguments_and_environment_are_told_apart() {
        let (arguments, environment) = parse(b"qemu\0\0-S\0A=b\0", 3, 1).unwrap();
        assert_eq!(arguments, [c"qemu", c"", c"-S"].map(CStr::to_owned));
        assert_eq!(environment, [c"A=b".to_owned()]);
    }

    #[test]
    fn whoever_hangs_up_has_given_none() {
        assert!(received(b"").unwrap().is_none());
    }

    #[test]
    fn what_is_no_order_is_refused() {
        let text = b"qemu\0";
        for bytes in [
            order(13, 1, 0, text)[..7].to_vec(),
            order(13, 1, 0, text)[..14].to_vec(),
            order(13, 2, 0, text),
            order(13, 0, 1, text),
            order(13, u32::MAX, 2, text),
            order(12, 1, 0, b"qemu"),
            order(7, 1, 0, text),
            order(u32::MAX, 1, 0, text),
            // All is well but that no descriptors came.
            order(13, 1, 0, text),
        ] {
            assert!(received(&bytes).is_err(), "{bytes:?}");
        }
    }
}
