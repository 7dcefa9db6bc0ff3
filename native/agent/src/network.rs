//! The network that a machine is to have: one IPv4 address on one card. It is read from a request and applied, with as
//! little time as can be for which nothing goes through the card.

mod cards;
mod interface;

use crate::bus::Bus;
use cards::Card;
use interface::Interface;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
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

/// Of a machine that stands still: its only card, which is up, as is the loopback.
#[derive(Clone)]
pub struct Seen {
    card: Card,
    addresses: usize,
}

impl Seen {
    /// None where a card has to be looked for, or something to be brought up.
    pub fn look() -> io::Result<Option<Seen>> {
        let Some(card) = cards::known_card() else {
            return Ok(None);
        };
        let interface = Interface::open(&card.name)?;
        if !(interface.is_up()? && Interface::open("lo")?.is_up()?) {
            return Ok(None);
        }
        let addresses = interface.addresses()?;
        Ok(Some(Seen { card, addresses }))
    }
}

/// TCP connections of the one this machine was before.
pub trait Connections {
    /// Whether there are any that have to end.
    fn to_be_cut(&self) -> io::Result<bool>;
    fn cut(&self) -> io::Result<()>;
}

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
    pub fn is_at_hand(&self, seen: Option<&Seen>) -> bool {
        seen.is_some() || cards::find(self.mac).is_some()
    }

    /// Connections are cut between the old identity and the new one, while the card is down: nothing that makes the kernel say
    /// reaches the wire. A card that is what it is to be stays up where there are none.
    pub fn apply(
        &self,
        bus: &mut Bus,
        connections: &impl Connections,
        seen: Option<&Seen>,
    ) -> io::Result<()> {
        let look = || cards::find(self.mac);
        let card = match seen {
            Some(seen) => seen.card.clone(),
            None => bus.find("a network card with that hardware address", PATIENCE, look)?,
        };
        let (blank, same, ours) = cards::known()
            .as_ref()
            .map_or((false, false, false), |known| {
                let set = known.set.as_ref();
                (known.blank, set == Some(self), set.is_some())
            });
        let interface = Interface::open(&card.name)?;
        let quiet = !connections.to_be_cut()?;
        if same && quiet && card.mac == Some(self.mac) {
            return Ok(());
        }
        let addresses = || seen.map_or_else(|| interface.addresses(), |seen| Ok(seen.addresses));
        // With the only address of a card goes every route that an earlier identity has through it.
        let live = quiet && (blank || (ours && addresses()? == 1));
        if !(live && self.set_hardware(&interface, &card).is_ok()) {
            // Else it is taken down for that.
            interface.set_up(false)?;
            connections.cut()?;
            self.set_hardware(&interface, &card)?;
            interface.set_up(true)?;
        } else if seen.is_none() {
            interface.set_up(true)?;
        }
        interface.set_address(libc::SIOCSIFADDR, self.address)?;
        interface.set_address(libc::SIOCSIFNETMASK, netmask(self.prefix))?;
        interface.default_route(self.gateway)?;
        if let Some(known) = cards::known().as_mut() {
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
}

/// Brings the only card up for whoever this machine will be, so that a start need not: without an address nothing goes through it.
pub fn raise() -> io::Result<()> {
    if cards::known().is_some() {
        return Ok(());
    }
    let [only] = &cards::all()[..] else {
        return Ok(());
    };
    cards::remember(&only.name);
    Interface::open(&only.name)?.set_up(true)?;
    if let Some(known) = cards::known().as_mut() {
        known.blank = true;
    }
    Ok(())
}

pub fn loopback_up() -> io::Result<()> {
    Interface::open("lo")?.set_up(true)
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
