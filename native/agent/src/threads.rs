//! What runs first in the guest. The thread that answers the host goes before everything else: of a machine that has just become
//! another one nothing is done before it has said so, neither by the kernel's own threads nor by the user's. It sleeps whenever it has
//! nothing to say.

use std::io;
use std::thread::{Builder, JoinHandle};

/// A class in which nothing of a lower one preempts it. What it begins would be of that class as well: threads are begun by
/// [`start`], and programs step back before they are theirs.
pub fn prefer_this() {
    let first = libc::sched_param { sched_priority: 1 };
    // SAFETY: a live struct; 0 is this thread alone. Where the kernel refuses it has the next best.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, -10);
        libc::sched_setscheduler(0, libc::SCHED_FIFO, &first);
    }
}

/// The class that everything else has. Priorities within it are left.
pub fn step_back() {
    let usual = libc::sched_param { sched_priority: 0 };
    // SAFETY: a live struct; 0 is this thread alone.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &usual) };
}

/// A thread for what takes its time.
pub fn start<T: Send + 'static>(
    stack: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().stack_size(stack).spawn(move || {
        step_back();
        work()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SAFETY: no pointers.
    fn class() -> libc::c_int {
        unsafe { libc::sched_getscheduler(0) }
    }

    #[test]
    fn only_the_thread_that_asked_for_it_goes_first() {
        let classes = std::thread::spawn(|| {
            prefer_this();
            let begun = start(64 * 1024, class).expect("a thread").join();
            (class(), begun.expect("it ended"))
        });
        let (first, begun) = classes.join().expect("it ended");
        // Not everybody who runs the tests may.
        assert!([libc::SCHED_FIFO, libc::SCHED_OTHER].contains(&first));
        assert_eq!(begun, libc::SCHED_OTHER);
    }
}
