//! QEMU's own classes, made before it is asked for anything.

use std::ffi::{c_char, c_int, c_void, CStr};

type CallInit = unsafe extern "C" fn(c_int);
type GetList = unsafe extern "C" fn(*const c_char, bool) -> *mut c_void;

/// `MODULE_INIT_QOM` of QEMU's `module_init_type`.
const QOM: c_int = 3;

/// QEMU makes the classes of all its types when it looks for its machine type; no argument has a part in that. It exports what does it, for the
/// sake of its modules, and makes none twice. A fifth of what is left of a start, and 2 MB. Where it does not export it, each makes its own.
///
/// # Safety
///
/// This process is a QEMU that has not begun yet.
pub unsafe fn make() {
    let (Some(call_init), Some(get_list)) = (
        exported(c"module_call_init"),
        exported(c"object_class_get_list"),
    ) else {
        return;
    };
    let call_init = std::mem::transmute::<*mut c_void, CallInit>(call_init);
    let get_list = std::mem::transmute::<*mut c_void, GetList>(get_list);
    call_init(QOM);
    // The list is of no interest, and small.
    get_list(c"machine".as_ptr(), false);
}

unsafe fn exported(name: &CStr) -> Option<*mut c_void> {
    let found = libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr());
    (!found.is_null()).then_some(found)
}
