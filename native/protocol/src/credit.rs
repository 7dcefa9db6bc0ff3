/// Bytes that may be sent on a (stream, channel) before the first CREDIT.
pub const WINDOW: u64 = 262_144;
/// Credit is given back in steps of at least this many bytes.
pub const GRANT_STEP: u64 = WINDOW / 4;

/// What this side may still send on one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendWindow {
    available: u64,
}

impl Default for SendWindow {
    fn default() -> Self {
        SendWindow { available: WINDOW }
    }
}

impl SendWindow {
    pub fn available(&self) -> u64 {
        self.available
    }

    /// A CREDIT came. Saturates: a peer that grants without end gains nothing.
    pub fn grant(&mut self, bytes: u32) {
        self.available = self.available.saturating_add(u64::from(bytes));
    }

    /// Takes up to `wanted` bytes out of the window and tells how many may be sent.
    pub fn take(&mut self, wanted: usize) -> usize {
        let granted = wanted.min(usize::try_from(self.available).unwrap_or(usize::MAX));
        self.available -= granted as u64;
        granted
    }
}

/// The peer sent more than it was allowed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overrun;

/// What the peer may still send on one channel, and what is owed to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiveWindow {
    available: u64,
    owed: u64,
}

impl Default for ReceiveWindow {
    fn default() -> Self {
        ReceiveWindow {
            available: WINDOW,
            owed: 0,
        }
    }
}

impl ReceiveWindow {
    /// Lets so many bytes more be under way; whoever calls this sends the CREDIT.
    pub fn widen(&mut self, bytes: u32) {
        self.available += u64::from(bytes);
    }

    pub fn receive(&mut self, bytes: usize) -> Result<(), Overrun> {
        self.available = self.available.checked_sub(bytes as u64).ok_or(Overrun)?;
        Ok(())
    }

    /// `bytes` have been consumed. Answers the CREDIT to send now, if it is worth a frame.
    pub fn consume(&mut self, bytes: u64) -> Option<u32> {
        self.owed += bytes;
        if self.owed < GRANT_STEP {
            return None;
        }
        let grant = u32::try_from(self.owed).unwrap_or(u32::MAX);
        self.owed -= u64::from(grant);
        self.available += u64::from(grant);
        Some(grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_stops_at_the_window_and_goes_on_with_credit() {
        let mut window = SendWindow::default();
        assert_eq!(window.take(300_000), 262_144);
        assert_eq!(window.take(1), 0);
        window.grant(10);
        assert_eq!(window.take(300), 10);
    }

    #[test]
    fn endless_grants_do_not_overflow() {
        let mut window = SendWindow {
            available: u64::MAX - 1,
        };
        window.grant(u32::MAX);
        assert_eq!(window.available(), u64::MAX);
    }

    #[test]
    fn an_overrun_is_noticed_and_credit_comes_in_quarters() {
        let mut window = ReceiveWindow::default();
        assert_eq!(window.receive(262_144), Ok(()));
        assert_eq!(window.receive(1), Err(Overrun));
        assert_eq!(window.consume(65_535), None);
        assert_eq!(window.consume(1), Some(65_536));
        assert_eq!(window.receive(65_536), Ok(()));
        assert_eq!(window.receive(1), Err(Overrun));
    }
}
