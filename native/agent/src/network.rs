//! One IPv4 card, found by its hardware address and set by the classic ioctls.

use crate::bus::Bus;
use crate::sys::{self, Kept};
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use viv_protocol::{Code, Fields, WireError};

#[derive(Clone, PartialEq)]
pub struct Network {
    mac: [u8; 6],
    pub address: Ipv4Addr,
    /// Bits of the network part.
    prefix: u8,
    gateway: Ipv4Addr,
    pub dns: Vec<IpAddr>,
    mtu: Option<u16>,
}

/// TCP connections of the one this machine was before.
pub trait Connections {
    /// Whether there are any that have to end.
    fn to_be_cut(&self) -> io::Result<bool>;
    fn cut(&self) -> io::Result<()>;
}

/// The one card there is, found before: to look for it in sysfs costs a restored guest 6 ms where code is translated cold.
struct Known {
    name: String,
    /// It was brought up for nobody: without an address, and so without a route.
    blank: bool,
    /// What it was set to last.
    set: Option<Network>,
}

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

fn known() -> MutexGuard<'static, Option<Known>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Addresses of the whole machine that are looked at: more than one are one too many.
const MOST_ADDRESSES: usize = 16;
/// How long a card may take to appear after the bus has been asked for it.
const PATIENCE: Duration = Duration::from_secs(3);

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.trim().split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

fn parse_address(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    Some((
        address.parse().ok()?,
        prefix.parse().ok().filter(|bits| (1..=32).contains(bits))?,
    ))
}

fn netmask(prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0))
}

impl Network {
    pub fn read(fields: &Fields<'_>) -> Result<Network, WireError> {
        let wrong = |key: &str| {
            WireError::new(
                Code::InvalidRequest,
                format!("the network's {key} is malformed"),
            )
        };
        let (address, prefix) =
            parse_address(fields.text("address")?).ok_or_else(|| wrong("address"))?;
        let dns = fields
            .texts("dns")?
            .iter()
            .map(|server| server.parse())
            .collect::<Result<_, _>>();
        Ok(Network {
            mac: parse_mac(fields.text("mac")?).ok_or_else(|| wrong("mac"))?,
            address,
            prefix,
            gateway: fields
                .text("gateway")?
                .parse()
                .map_err(|_| wrong("gateway"))?,
            dns: dns.map_err(|_| wrong("dns"))?,
            mtu: fields
                .uint_if("mtu")?
                .map(u16::try_from)
                .transpose()
                .map_err(|_| wrong("mtu"))?,
        })
    }

    /// Whether its card is there already.
    pub fn is_at_hand(&self) -> bool {
        self.find_card().is_some()
    }

    /// Connections are cut between the old identity and the new one, while the card is down: nothing that makes the kernel say
    /// reaches the wire. A card that is what it is to be stays up where there are none.
    pub fn apply(&self, bus: &mut Bus, connections: &impl Connections) -> io::Result<()> {
        let card = bus.find(
            "a network card with that hardware address",
            PATIENCE,
            || self.find_card(),
        )?;
        let (blank, same, ours) = known().as_ref().map_or((false, false, false), |known| {
            let set = known.set.as_ref();
            (known.blank, set == Some(self), set.is_some())
        });
        let interface = Interface::open(&card.name)?;
        let quiet = !connections.to_be_cut()?;
        if same && quiet && card.mac == Some(self.mac) {
            return Ok(());
        }
        // With the only address of a card goes every route that an earlier identity has through it.
        let live = quiet && (blank || (ours && interface.addresses()? == 1));
        if !(live && self.set_hardware(&interface, &card).is_ok()) {
            // Else it is taken down for that.
            interface.set_up(false)?;
            connections.cut()?;
            self.set_hardware(&interface, &card)?;
        }
        interface.set_up(true)?;
        interface.set_address(libc::SIOCSIFADDR, self.address)?;
        interface.set_address(libc::SIOCSIFNETMASK, netmask(self.prefix))?;
        interface.default_route(self.gateway)?;
        if let Some(known) = known().as_mut() {
            known.blank = false;
            known.set = Some(self.clone());
        }
        Ok(())
    }

    fn set_hardware(&self, interface: &Interface, card: &Card) -> io::Result<()> {
        if card.mac != Some(self.mac) {
            interface.set_mac(self.mac)?;
        }
        self.mtu.map_or(Ok(()), |mtu| interface.set_mtu(mtu))
    }

    /// The only card there is, which gets that hardware address; of several, the one that has it.
    fn find_card(&self) -> Option<Card> {
        known_card().or_else(|| self.look_for_card())
    }

    fn look_for_card(&self) -> Option<Card> {
        let mut found = cards();
        if let [only] = &found[..] {
            remember(&only.name);
        }
        if let Some(at) = found.iter().position(|card| card.mac == Some(self.mac)) {
            return Some(found.swap_remove(at));
        }
        found.pop().filter(|_| found.is_empty())
    }
}

/// Brings the only card up for whoever this machine will be, so that a start need not: without an address nothing goes through it.
pub fn raise() -> io::Result<()> {
    if known().is_some() {
        return Ok(());
    }
    let [only] = &cards()[..] else {
        return Ok(());
    };
    remember(&only.name);
    Interface::open(&only.name)?.set_up(true)?;
    if let Some(known) = known().as_mut() {
        known.blank = true;
    }
    Ok(())
}

fn remember(name: &str) {
    // The network of a VM carries no IPv6: an address of its own on the card (of a hardware address that changes) would only
    // be announced, and wake idle machines. Whoever wants one can give it one.
    let mode = format!("/proc/sys/net/ipv6/conf/{name}/addr_gen_mode");
    let _absent_is_fine = fs::write(mode, "1");
    *known() = Some(Known {
        name: name.to_owned(),
        blank: false,
        set: None,
    });
}

fn known_card() -> Option<Card> {
    let mut known = known();
    let name = known.as_ref()?.name.clone();
    match Interface::open(&name).and_then(|interface| interface.mac()) {
        Ok(mac) => Some(Card {
            name,
            mac: Some(mac),
        }),
        Err(_) => {
            *known = None;
            None
        }
    }
}

struct Card {
    name: String,
    mac: Option<[u8; 6]>,
}

/// Everything with a device behind it; `lo` has none.
fn cards() -> Vec<Card> {
    let Ok(entries) = fs::read_dir("/sys/class/net") else {
        return Vec::new();
    };
    let real = entries
        .flatten()
        .filter(|entry| entry.path().join("device").exists());
    real.filter_map(|entry| {
        let address = fs::read_to_string(entry.path().join("address")).unwrap_or_default();
        Some(Card {
            name: entry.file_name().into_string().ok()?,
            mac: parse_mac(&address),
        })
    })
    .collect()
}

pub fn loopback_up() -> io::Result<()> {
    Interface::open("lo")?.set_up(true)
}

struct Interface {
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
    fn open(name: &str) -> io::Result<Interface> {
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

    fn set_up(&self, up: bool) -> io::Result<()> {
        let mut request = self.ask(libc::SIOCGIFFLAGS, self.request)?;
        // SAFETY: the answer to this request is the flags.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        let bit = libc::IFF_UP as libc::c_short;
        if (flags & bit != 0) == up {
            return Ok(());
        }
        request.ifr_ifru.ifru_flags = if up { flags | bit } else { flags & !bit };
        self.ask(libc::SIOCSIFFLAGS, request).map(|_| ())
    }

    fn mac(&self) -> io::Result<[u8; 6]> {
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
    fn addresses(&self) -> io::Result<usize> {
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

    fn set_mac(&self, mac: [u8; 6]) -> io::Result<()> {
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

    fn set_mtu(&self, mtu: u16) -> io::Result<()> {
        let mut request = self.request;
        request.ifr_ifru.ifru_mtu = i32::from(mtu);
        self.ask(libc::SIOCSIFMTU, request).map(|_| ())
    }

    fn set_address(&self, what: libc::c_ulong, address: Ipv4Addr) -> io::Result<()> {
        let mut request = self.request;
        request.ifr_ifru.ifru_addr = socket_address(address);
        self.ask(what, request).map(|_| ())
    }

    fn default_route(&self, gateway: Ipv4Addr) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_malformed_ones_refused() {
        assert_eq!(
            parse_mac("52:54:00:aB:01:ff\n"),
            Some([0x52, 0x54, 0, 0xab, 1, 0xff])
        );
        for wrong in [
            "",
            "52:54:00:ab:01",
            "52:54:00:ab:01:ff:00",
            "5:54:00:ab:01:fff",
            "zz:54:00:ab:01:ff",
        ] {
            assert_eq!(parse_mac(wrong), None, "{wrong}");
        }
        assert_eq!(
            parse_address("10.1.2.2/24"),
            Some((Ipv4Addr::new(10, 1, 2, 2), 24))
        );
        for wrong in [
            "10.1.2.2",
            "10.1.2/24",
            "10.1.2.2/0",
            "10.1.2.2/33",
            "::1/64",
        ] {
            assert_eq!(parse_address(wrong), None, "{wrong}");
        }
        assert_eq!(netmask(24), Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!(netmask(32), Ipv4Addr::new(255, 255, 255, 255));
    }
}
