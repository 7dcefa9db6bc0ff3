//! Preloaded into a QEMU that is given no command line: the zygote. The contract is docs/zygote.md.
//!
//! What a QEMU does before it looks at its command line (it is loaded, 50 libraries are linked into it, 12,000 symbols looked up,
//! 240,000 addresses relocated) is the same for every one, and is half of what its start costs. The zygote stands still at the beginning
//! of its `main`. Whoever connects is given a process that has all that behind it, below a shim of its own.

mod classes;
mod embryo;
mod order;
mod serve;
mod system;
mod title;
mod trim;

use std::ffi::{c_char, c_int, c_void, CStr};
use std::sync::OnceLock;

type Main = unsafe extern "C" fn(c_int, *mut *mut c_char, *mut *mut c_char) -> c_int;
type Hook = Option<unsafe extern "C" fn()>;
type Start =
    unsafe extern "C" fn(Main, c_int, *mut *mut c_char, Hook, Hook, Hook, *mut c_void) -> c_int;

/// The path of the program that is to stand still; any other one into which this is loaded goes on as ever.
const FOR: &CStr = c"VIV_ZYGOTE";

static QEMU_MAIN: OnceLock<Main> = OnceLock::new();

/// Stands before the C library's own, which a program calls first of all: it is given another `main`.
///
/// # Safety
///
/// Called by the start code of a program, once, as the C library wants it.
#[no_mangle]
pub unsafe extern "C" fn __libc_start_main(
    main: Main,
    argc: c_int,
    argv: *mut *mut c_char,
    init: Hook,
    fini: Hook,
    rtld_fini: Hook,
    stack_end: *mut c_void,
) -> c_int {
    let next = libc::dlsym(libc::RTLD_NEXT, c"__libc_start_main".as_ptr());
    if next.is_null() {
        libc::_exit(127);
    }
    let next: Start = std::mem::transmute::<*mut c_void, Start>(next);
    let chosen = if is_for_this_program() && QEMU_MAIN.set(main).is_ok() {
        stand_still
    } else {
        main
    };
    next(chosen, argc, argv, init, fini, rtld_fini, stack_end)
}

unsafe fn is_for_this_program() -> bool {
    let wanted = libc::getenv(FOR.as_ptr());
    !wanted.is_null() && system::own_program().as_deref() == Some(CStr::from_ptr(wanted))
}

/// Constructors have run by now. Returns, in a process that was made of this one, with what that did.
unsafe extern "C" fn stand_still(
    argc: c_int,
    argv: *mut *mut c_char,
    _environment: *mut *mut c_char,
) -> c_int {
    let title = title::Title::of(argc, argv);
    trim::not_yet();
    classes::make();
    match serve::until_ordered(&title) {
        Ok(order) => embryo::become_vmm(order, &title, QEMU_MAIN.get().copied()),
        Err(why) => {
            eprintln!("viv-zygote: {why}");
            libc::_exit(1)
        }
    }
}
