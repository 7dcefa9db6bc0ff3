use crate::sys;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// An epoll set. Whoever is ready is known by a token of the caller's choice.
pub struct Poll {
    fd: OwnedFd,
}

pub const READ: u32 = libc::EPOLLIN as u32;
pub const WRITE: u32 = libc::EPOLLOUT as u32;
pub const EDGE: u32 = libc::EPOLLET as u32;

impl Poll {
    pub fn new() -> io::Result<Poll> {
        // SAFETY: no pointers.
        let fd = sys::check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: new, and ours.
        Ok(Poll {
            fd: unsafe { OwnedFd::from_raw_fd(fd) },
        })
    }

    pub fn add(&self, fd: RawFd, token: u64, events: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, events)
    }

    pub fn change(&self, fd: RawFd, token: u64, events: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, events)
    }

    /// A descriptor that isn't in the set is none the worse for it.
    pub fn remove(&self, fd: RawFd) {
        let _absent_is_fine = self.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
    }

    fn control(&self, what: i32, fd: RawFd, token: u64, events: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: one live struct.
        sys::check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), what, fd, &mut event) })?;
        Ok(())
    }

    /// Waits until something is ready or `until` has come (never, where it is none), and lists (token, events).
    pub fn wait(&self, until: Option<Instant>, ready: &mut Vec<(u64, u32)>) {
        const MOST: usize = 64;
        // SAFETY: plain numbers.
        let mut events: [libc::epoll_event; MOST] = unsafe { std::mem::zeroed() };
        let timeout = until.map_or(-1, |until| {
            milliseconds(until.saturating_duration_since(Instant::now()))
        });
        // SAFETY: room for as many events as is told.
        let count = unsafe {
            libc::epoll_wait(
                self.fd.as_raw_fd(),
                events.as_mut_ptr(),
                MOST as i32,
                timeout,
            )
        };
        ready.clear();
        for event in events.iter().take(usize::try_from(count).unwrap_or(0)) {
            ready.push((event.u64, event.events));
        }
    }
}

/// Rounded up, so that a timer is never looked at just before its time.
fn milliseconds(left: Duration) -> i32 {
    i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
}
