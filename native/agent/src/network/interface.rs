//! A network interface of the kernel's, by its name, and what is asked of it by the classic ioctls. Whether that should be
//! asked is decided elsewhere.

use crate::sys::{self, Kept};
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// Addresses of the whole machine that are looked at: more than one are one too many.
const MOST_ADDRESSES: usize = 16;

const UP: libc::c_short = libc::IFF_UP as libc::c_short;

pub struct Interface {
    socket: Arc<File>,
    request: libc::ifreq,
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: plain bytes; an IPv4 address lies behind the family and the port.
    let mut raw: libc::sockaddr = unsafe { std::mem::zeroed() };
    raw.sa_family = libc::AF_INET as libc::sa_family_t;
    for (slot, byte) in raw.sa_data[2..6].iter_mut().zip(address.octets()) {
        *slot = byte as libc::c_char;
    }
    raw
}

impl Interface {
    pub fn open(name: &str) -> io::Result<Interface> {
        static SOCKET: Kept = Kept::new();
        let socket = SOCKET.get(|| {
            let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
            sys::socket(libc::AF_INET, kind, 0).map(File::from)
        })?;
        // SAFETY: plain bytes.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if name.len() >= request.ifr_name.len() {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        for (slot, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *slot = byte as libc::c_char;
        }
        Ok(Interface { socket, request })
    }

    fn ask(&self, what: libc::c_ulong, mut request: libc::ifreq) -> io::Result<libc::ifreq> {
        sys::ioctl_ref(self.socket.as_raw_fd(), what, &mut request)?;
        Ok(request)
    }

    fn flags(&self) -> io::Result<(libc::ifreq, libc::c_short)> {
        let request = self.ask(libc::SIOCGIFFLAGS, self.request)?;
        // SAFETY: the answer to this request is the flags.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        Ok((request, flags))
    }

    pub fn is_up(&self) -> io::Result<bool> {
        Ok(self.flags()?.1 & UP != 0)
    }

    pub fn set_up(&self, up: bool) -> io::Result<()> {
        let (mut request, flags) = self.flags()?;
        if (flags & UP != 0) == up {
            return Ok(());
        }
        request.ifr_ifru.ifru_flags = if up { flags | UP } else { flags & !UP };
        self.ask(libc::SIOCSIFFLAGS, request).map(|_| ())
    }

    pub fn mac(&self) -> io::Result<[u8; 6]> {
        let answer = self.ask(libc::SIOCGIFHWADDR, self.request)?;
        // SAFETY: the answer to this request is an address.
        let raw = unsafe { answer.ifr_ifru.ifru_hwaddr.sa_data };
        let mut mac = [0; 6];
        for (slot, byte) in mac.iter_mut().zip(raw) {
            *slot = byte as u8;
        }
        Ok(mac)
    }

    /// IPv4 addresses that it has.
    pub fn addresses(&self) -> io::Result<usize> {
        /// `struct ifconf` of linux/if.h.
        #[repr(C)]
        struct Asked {
            bytes: libc::c_int,
            into: *mut libc::ifreq,
        }
        let mut found = [self.request; MOST_ADDRESSES];
        let mut asked = Asked {
            bytes: std::mem::size_of_val(&found) as libc::c_int,
            into: found.as_mut_ptr(),
        };
        sys::ioctl_ref(self.socket.as_raw_fd(), libc::SIOCGIFCONF, &mut asked)?;
        let count = asked.bytes as usize / std::mem::size_of::<libc::ifreq>();
        // A second address may have a label of its own, which begins with the card's name.
        let name = |request: &libc::ifreq| {
            request.ifr_name.map(|byte| {
                if byte == b':' as libc::c_char {
                    0
                } else {
                    byte
                }
            })
        };
        let own = self.request.ifr_name.iter().take_while(|byte| **byte != 0);
        let own: Vec<_> = own.copied().collect();
        let is_own = |request: &&libc::ifreq| {
            let name = name(request);
            name.starts_with(&own) && name.get(own.len()).is_none_or(|end| *end == 0)
        };
        // A full list is more than one, whosever they are.
        Ok(match count {
            MOST_ADDRESSES.. => MOST_ADDRESSES,
            _ => found[..count].iter().filter(is_own).count(),
        })
    }

    pub fn set_mac(&self, mac: [u8; 6]) -> io::Result<()> {
        // SAFETY: plain bytes.
        let mut address: libc::sockaddr = unsafe { std::mem::zeroed() };
        address.sa_family = libc::ARPHRD_ETHER;
        for (slot, byte) in address.sa_data.iter_mut().zip(mac) {
            *slot = byte as libc::c_char;
        }
        let mut request = self.request;
        request.ifr_ifru.ifru_hwaddr = address;
        self.ask(libc::SIOCSIFHWADDR, request).map(|_| ())
    }

    pub fn set_mtu(&self, mtu: u16) -> io::Result<()> {
        let mut request = self.request;
        request.ifr_ifru.ifru_mtu = i32::from(mtu);
        self.ask(libc::SIOCSIFMTU, request).map(|_| ())
    }

    pub fn set_address(&self, what: libc::c_ulong, address: Ipv4Addr) -> io::Result<()> {
        let mut request = self.request;
        request.ifr_ifru.ifru_addr = socket_address(address);
        self.ask(what, request).map(|_| ())
    }

    pub fn default_route(&self, gateway: Ipv4Addr) -> io::Result<()> {
        // SAFETY: plain bytes and null pointers.
        let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
        route.rt_dst = socket_address(Ipv4Addr::UNSPECIFIED);
        route.rt_genmask = socket_address(Ipv4Addr::UNSPECIFIED);
        route.rt_gateway = socket_address(gateway);
        route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
        match sys::ioctl_ref(self.socket.as_raw_fd(), libc::SIOCADDRT, &mut route) {
            Err(error) if error.raw_os_error() != Some(libc::EEXIST) => Err(error),
            _ => Ok(()),
        }
    }
}
