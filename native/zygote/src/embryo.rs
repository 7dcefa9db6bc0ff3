//! A process that has been told what VMM to be, on its way into QEMU's own `main`.

use crate::order::Order;
use crate::system::{dev_null, put};
use crate::title::Title;
use crate::trim;
use crate::Main;
use std::ffi::{c_char, c_int, CString};
use std::io;
use std::os::fd::{AsRawFd, RawFd};

extern "C" {
    static mut environ: *mut *mut c_char;
}

/// The numbers that a VMM finds its descriptors at. The driver has kept them free.
const FIRST: RawFd = 3;
const LAST: RawFd = 5;

pub fn become_vmm(order: Order, title: &Title, main: Option<Main>) -> ! {
    let Order {
        arguments,
        environment,
        descriptors,
    } = order;
    let placed = (|| -> io::Result<()> {
        put(&dev_null()?, 0)?;
        put(&descriptors.output, 1)?;
        put(&descriptors.output, 2)?;
        for (number, descriptor) in (FIRST..).zip(&descriptors.numbered) {
            put(descriptor, number)?;
        }
        // What was kept free for more is the VMM's to use.
        for number in FIRST + descriptors.numbered.len() as RawFd..=LAST {
            // SAFETY: nothing of this process's own lies there.
            unsafe { libc::close(number) };
        }
        // SAFETY: a system call on an open descriptor.
        crate::system::done(unsafe { libc::fchdir(descriptors.directory.as_raw_fd()) })?;
        Ok(())
    })();
    drop(descriptors);
    let Some(main) = main.filter(|_| placed.is_ok()) else {
        eprintln!("viv-zygote: {placed:?}");
        // SAFETY: nothing of this process is anybody's.
        unsafe { libc::_exit(1) }
    };
    // SAFETY: no function returns any more that was entered before.
    unsafe { new_canary() };
    trim::later();
    title.set(arguments.iter().map(CString::as_c_str));
    let argc = arguments.len() as c_int;
    let argv = as_c(arguments);
    // SAFETY: the lists end with a null and live for as long as the process.
    unsafe {
        environ = as_c(environment);
        libc::exit(main(argc, argv, environ))
    }
}

fn as_c(strings: Vec<CString>) -> *mut *mut c_char {
    let mut pointers: Vec<*mut c_char> = strings.into_iter().map(CString::into_raw).collect();
    pointers.push(std::ptr::null_mut());
    Box::leak(pointers.into_boxed_slice()).as_mut_ptr()
}

/// A VMM's guard against overwritten stacks is its own, and tells nothing of that of another one. As the C library makes it: with a NUL.
///
/// # Safety
///
/// No function that was entered before may return.
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
unsafe fn new_canary() {
    let mut canary = [0u8; 8];
    if libc::getrandom(canary.as_mut_ptr().cast(), canary.len(), 0) == 8 {
        canary[0] = 0;
        std::arch::asm!("mov fs:[0x28], {}", in(reg) u64::from_le_bytes(canary), options(nostack));
    }
}

#[cfg(not(all(target_arch = "x86_64", target_env = "gnu")))]
unsafe fn new_canary() {}

#[cfg(all(test, target_arch = "x86_64", target_env = "gnu"))]
mod tests {
    use super::*;

    fn canary() -> u64 {
        let canary: u64;
        // SAFETY: reads what the C library has put there.
        unsafe {
            std::arch::asm!("mov {}, fs:[0x28]", out(reg) canary, options(nostack, readonly))
        };
        canary
    }

    #[test]
    fn a_vmm_has_a_canary_of_its_own() {
        // SAFETY: the child does nothing but look at a word and end.
        let status = unsafe {
            let before = canary();
            let child = libc::fork();
            if child == 0 {
                new_canary();
                let after = canary();
                libc::_exit(i32::from(
                    after == before || after & 0xff != 0 || after >> 8 == 0,
                ));
            }
            let mut status = -1;
            libc::waitpid(child, &mut status, 0);
            status
        };
        assert_eq!(status, 0);
    }
}
