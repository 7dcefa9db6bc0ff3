//! What shim and zygote have in common: open descriptors on their way through unix sockets, and who a process is.

use std::io;
use std::mem::{size_of, size_of_val, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// As many as the kernel takes at a time.
pub const MOST: usize = 253;

/// How many of the bytes were sent; the descriptors go with the first of them.
pub fn send(to: &impl AsRawFd, bytes: &[u8], descriptors: &[RawFd]) -> io::Result<usize> {
    let mut room = control_room(descriptors.len());
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: the header and what it points to live until the call is over; the room is large enough for its one message.
    unsafe {
        let mut header: libc::msghdr = zeroed();
        header.msg_iov = &mut vector;
        header.msg_iovlen = 1;
        let length = size_of_val(descriptors) as u32;
        header.msg_control = room.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(length) as _;
        let message = libc::CMSG_FIRSTHDR(&header);
        (*message).cmsg_level = libc::SOL_SOCKET;
        (*message).cmsg_type = libc::SCM_RIGHTS;
        (*message).cmsg_len = libc::CMSG_LEN(length) as _;
        let places = libc::CMSG_DATA(message).cast();
        std::ptr::copy_nonoverlapping(descriptors.as_ptr(), places, descriptors.len());
        counted(|| libc::sendmsg(to.as_raw_fd(), &header, libc::MSG_NOSIGNAL))
    }
}

/// How many bytes came, none where nobody sends any more, and the descriptors that came with them. They are closed on exec.
pub fn receive(from: &impl AsRawFd, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut room = control_room(MOST);
    let mut vector = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let mut descriptors = Vec::new();
    // SAFETY: as above; every descriptor that arrives is owned from here on.
    unsafe {
        let mut header: libc::msghdr = zeroed();
        header.msg_iov = &mut vector;
        header.msg_iovlen = 1;
        header.msg_control = room.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(room.as_slice()) as _;
        let read =
            counted(|| libc::recvmsg(from.as_raw_fd(), &mut header, libc::MSG_CMSG_CLOEXEC))?;
        let mut message = libc::CMSG_FIRSTHDR(&header);
        while !message.is_null() {
            if (*message).cmsg_level == libc::SOL_SOCKET && (*message).cmsg_type == libc::SCM_RIGHTS
            {
                let data = libc::CMSG_DATA(message).cast::<RawFd>();
                let bytes = (*message).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                for index in 0..bytes / size_of::<RawFd>() {
                    descriptors.push(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
                }
            }
            message = libc::CMSG_NXTHDR(&header, message);
        }
        Ok((read, descriptors))
    }
}

/// A call that answers how much it did, or less than nothing; one that was interrupted is made again.
fn counted(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(count) => return Ok(count),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Field 22 of a process's `stat`, clock ticks after boot. The name in field 2 may hold spaces and brackets; the fields after its last bracket are
/// counted.
pub fn start_time(stat: &str) -> Option<u64> {
    let rest = &stat[stat.rfind(')')? + 1..];
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// In whole words: the kernel's headers are aligned to them.
fn control_room(count: usize) -> Vec<u64> {
    // SAFETY: computes a number.
    let bytes = unsafe { libc::CMSG_SPACE((count * size_of::<RawFd>()) as u32) } as usize;
    vec![0; bytes.div_ceil(8)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_arrive_with_the_first_byte() {
        let (to, mut from) = UnixStream::pair().unwrap();
        let (mut told, tell) = UnixStream::pair().unwrap();
        let null = File::open("/dev/null").unwrap();
        let sent = send(&to, b"hello", &[null.as_raw_fd(), tell.as_raw_fd()]).unwrap();
        assert_eq!(sent, 5);
        let mut first = [0; 1];
        let (read, mut descriptors) = receive(&from, &mut first).unwrap();
        assert_eq!((read, &first, descriptors.len()), (1, b"h", 2));
        drop(tell);
        let mut copy = UnixStream::from(descriptors.pop().unwrap());
        copy.write_all(b"through the copy").unwrap();
        drop(copy);
        let mut text = String::new();
        told.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through the copy");
        drop(to);
        let mut rest = String::new();
        from.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "ello");
    }

    #[test]
    fn whoever_hangs_up_sends_nothing() {
        let (to, from) = UnixStream::pair().unwrap();
        drop(to);
        let (read, descriptors) = receive(&from, &mut [0; 8]).unwrap();
        assert_eq!((read, descriptors.len()), (0, 0));
    }

    #[test]
    fn a_hostile_process_name_does_not_shift_the_fields() {
        let fields: Vec<String> = (4..=30).map(|n| n.to_string()).collect();
        let stat = format!("77 (a) S 1 (b) ) S {}", fields.join(" "));
        assert_eq!(start_time(&stat), Some(22));
    }
}
