//! The network cards of this machine: which there are, and which is the one to be set. Of a single one it is kept in mind what
//! it was set to last.

use super::interface::Interface;
use super::{parse_mac, Network};
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Clone)]
pub struct Card {
    pub name: String,
    pub mac: Option<[u8; 6]>,
}

/// The one card there is, found before: to look for it in sysfs costs a restored guest 6 ms where code is translated cold.
pub struct Known {
    name: String,
    /// It was brought up for nobody: without an address, and so without a route.
    pub blank: bool,
    /// What it was set to last.
    pub set: Option<Network>,
}

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

pub fn known() -> MutexGuard<'static, Option<Known>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The only card there is, which gets that hardware address; of several, the one that has it.
pub fn find(mac: [u8; 6]) -> Option<Card> {
    known_card().or_else(|| look_for(mac))
}

fn look_for(mac: [u8; 6]) -> Option<Card> {
    let mut found = all();
    if let [only] = &found[..] {
        remember(&only.name);
    }
    if let Some(at) = found.iter().position(|card| card.mac == Some(mac)) {
        return Some(found.swap_remove(at));
    }
    found.pop().filter(|_| found.is_empty())
}

pub fn remember(name: &str) {
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

pub fn known_card() -> Option<Card> {
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

/// Everything with a device behind it; `lo` has none.
pub fn all() -> Vec<Card> {
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
