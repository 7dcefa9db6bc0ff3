use super::{nothing, Answer, Step};
use crate::access::{guest_error, path_error};
use crate::sys;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use viv_protocol::{Code, Fields, WireError};

/// Mode and owner; what is not given stays.
pub struct Attributes {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

impl Attributes {
    pub fn read(fields: &Fields<'_>) -> Result<Attributes, WireError> {
        let number = |key| {
            fields
                .uint_if(key)
                .map(|found| found.map(|_| fields.small::<u32>(key)))
        };
        Ok(Attributes {
            mode: number("mode")?.transpose()?.map(|mode| mode & 0o7777),
            uid: number("uid")?.transpose()?,
            gid: number("gid")?.transpose()?,
        })
    }

    /// Of what an `O_PATH` descriptor is of. The owner first: a change of it takes setuid bits away.
    pub fn set(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        if self.uid.is_some() || self.gid.is_some() {
            let unchanged = u32::MAX;
            let (uid, gid) = (self.uid.unwrap_or(unchanged), self.gid.unwrap_or(unchanged));
            let flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW;
            // SAFETY: a live string.
            sys::check(unsafe { libc::fchownat(file.as_raw_fd(), c"".as_ptr(), uid, gid, flags) })?;
        }
        let Some(mode) = self.mode else { return Ok(()) };
        // fchmod wants no O_PATH descriptor; by this name it is the same file and no other.
        let name = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        // SAFETY: a live string.
        sys::check(unsafe { libc::chmod(name.as_ptr(), mode) })?;
        Ok(())
    }
}

pub fn step(fields: &Fields<'_>) -> Result<Step, WireError> {
    let path = fields.text("path")?.to_owned();
    let follow = fields.flag_if("follow")?.unwrap_or(false);
    let attributes = Attributes::read(fields)?;
    Ok(Box::new(move |root| {
        change(root, &path, follow, &attributes)
    }))
}

fn change(root: BorrowedFd<'_>, path: &str, follow: bool, attributes: &Attributes) -> Answer {
    let flags = libc::O_PATH | if follow { 0 } else { libc::O_NOFOLLOW };
    let file = sys::open_in_root(root, Path::new(path), flags, 0)
        .map_err(|error| path_error(path, &error))?;
    let about = sys::stat_at(file.as_raw_fd(), c"").map_err(|error| guest_error(path, &error))?;
    if attributes.mode.is_some() && about.st_mode & libc::S_IFMT == libc::S_IFLNK {
        let message = format!("{path} is a symbolic link, which has no mode of its own");
        return Err(WireError::new(Code::InvalidRequest, message));
    }
    attributes
        .set(file.as_fd())
        .map_err(|error| guest_error(path, &error))?;
    nothing()
}
