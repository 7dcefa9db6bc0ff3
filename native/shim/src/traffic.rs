//! Who came to a published port, and when the last one went.

use serde_json::{json, Value};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

/// Clients remembered after their last connection; the one that has been gone for longest is forgotten first.
const MOST: usize = 256;

/// Guest port and client.
pub type Visitor = (u16, IpAddr);

#[derive(Default)]
pub struct Traffic {
    gone: HashMap<Visitor, Instant>,
}

impl Traffic {
    pub fn ended(&mut self, visitor: Visitor) {
        self.gone.insert(visitor, Instant::now());
        if self.gone.len() > MOST {
            if let Some(oldest) = self
                .gone
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(visitor, _)| *visitor)
            {
                self.gone.remove(&oldest);
            }
        }
    }

    /// With those that are open now.
    pub fn tell(&self, open: impl Iterator<Item = Visitor>) -> Value {
        let mut all: HashMap<Visitor, (u32, u128)> = self
            .gone
            .iter()
            .map(|(visitor, at)| (*visitor, (0, at.elapsed().as_millis())))
            .collect();
        for visitor in open {
            let entry = all.entry(visitor).or_default();
            *entry = (entry.0 + 1, 0);
        }
        all.iter()
            .map(|((port, peer), (open, quiet))| {
                json!({"guest_port": port, "peer": peer, "open": open, "quiet_ms": *quiet as u64})
            })
            .collect()
    }
}
