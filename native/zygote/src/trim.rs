//! Memory that a VMM gives back to the kernel: not while it starts, when it is about to need it again.
//!
//! QEMU calls `malloc_trim` whenever its thread for deferred frees has nothing to do: some 260 `madvise` in the first 50 ms, each with the
//! allocator's lock held, and every page of them a fault later. Without them ten copies are there 4 to 12 % sooner, with 7 MB more each; so they
//! are made up for once.

use std::ffi::{c_int, CStr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a VMM does in the first seconds is to start.
const AFTER: Duration = Duration::from_secs(2);
/// As much as QEMU itself leaves.
const PAD: usize = 4 * 1024 * 1024;

type Trim = unsafe extern "C" fn(usize) -> c_int;

static STARTING: AtomicBool = AtomicBool::new(false);

/// Stands before the C library's own.
///
/// # Safety
///
/// As the C library's: may be called at any time.
#[no_mangle]
pub unsafe extern "C" fn malloc_trim(pad: usize) -> c_int {
    if STARTING.load(Ordering::Relaxed) {
        return 0;
    }
    let next = libc::dlsym(libc::RTLD_NEXT, NAME.as_ptr());
    if next.is_null() {
        return 0;
    }
    std::mem::transmute::<*mut libc::c_void, Trim>(next)(pad)
}

const NAME: &CStr = c"malloc_trim";

/// From now on, here and in what is made of this process.
pub fn not_yet() {
    STARTING.store(true, Ordering::Relaxed);
}

/// In a while.
pub fn later() {
    let wait = || {
        std::thread::sleep(AFTER);
        STARTING.store(false, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { malloc_trim(PAD) };
    };
    // No signal of QEMU's is for this thread.
    let begun = without_signals(|| {
        std::thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn(wait)
    });
    if begun.is_err() {
        STARTING.store(false, Ordering::Relaxed);
    }
}

fn without_signals<T>(action: impl FnOnce() -> T) -> T {
    // SAFETY: masks of this thread, put back as they were.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let result = action();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        result
    }
}
