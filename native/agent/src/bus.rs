//! The PCI bus. What was added while the machine stood still is there only once the bus has been asked.

use crate::kmsg;
use std::fs;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

const RESCAN: &str = "/sys/bus/pci/rescan";

/// Asked at most once: that finds disks and card together, and costs tens of milliseconds where code is translated cold.
#[derive(Default)]
pub struct Bus {
    asked: bool,
}

impl Bus {
    /// What `look` finds at once, after the bus has been asked, or within the patience.
    pub fn find<T>(
        &mut self,
        what: &str,
        patience: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> io::Result<T> {
        if let Some(found) = look() {
            return Ok(found);
        }
        if !std::mem::replace(&mut self.asked, true) {
            let start = Instant::now();
            // A machine without PCI has nothing to scan.
            let _absent_is_fine = fs::write(RESCAN, "1");
            kmsg::note(&format!(
                "asked the bus for {what}: {} ms",
                start.elapsed().as_millis()
            ));
        }
        wait_for(what, patience, look)
    }
}

/// Tries until there is an answer or the patience is over.
pub fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> io::Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{what} did not appear"),
            ));
        }
        sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_needs_no_scan_and_what_never_comes_is_named() {
        let mut bus = Bus::default();
        assert_eq!(
            bus.find("a disk", Duration::ZERO, || Some(7))
                .expect("there"),
            7
        );
        assert!(!bus.asked);
        // On this side of the tests nothing is scanned: a bus that was asked is not asked again.
        bus.asked = true;
        let error = bus
            .find("a card", Duration::ZERO, || None::<()>)
            .expect_err("nothing");
        assert_eq!(error.to_string(), "a card did not appear");
    }
}
