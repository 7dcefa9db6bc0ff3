use super::{nothing, parent_of, step_error, Answer, Step};
use crate::sys;
use std::os::fd::{AsRawFd, BorrowedFd};
use viv_protocol::{Fields, WireError};

pub fn step(fields: &Fields<'_>) -> Result<Step, WireError> {
    let (from, to) = (
        fields.text("from")?.to_owned(),
        fields.text("to")?.to_owned(),
    );
    let replace = fields.flag_if("replace")?.unwrap_or(true);
    Ok(Box::new(move |root| rename(root, &from, &to, replace)))
}

fn rename(root: BorrowedFd<'_>, from: &str, to: &str, replace: bool) -> Answer {
    let (old_parent, old_name) = parent_of(root, from)?;
    let (new_parent, new_name) = parent_of(root, to)?;
    let flags = if replace { 0 } else { libc::RENAME_NOREPLACE };
    // SAFETY: two live strings.
    sys::check(unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            old_parent.as_raw_fd(),
            old_name.as_ptr(),
            new_parent.as_raw_fd(),
            new_name.as_ptr(),
            flags,
        )
    })
    .map_err(|error| {
        // The other path is there: its directory has been opened.
        let named = if error.kind() == std::io::ErrorKind::NotFound {
            from
        } else {
            to
        };
        step_error(named, &error)
    })?;
    nothing()
}
