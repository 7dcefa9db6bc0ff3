use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use viv_protocol::{Code, WireError};

/// The root directories that paths are resolved in: one per workload, by its id. Shared by both ports' threads.
#[derive(Clone, Default)]
pub struct Targets {
    roots: Arc<Mutex<BTreeMap<String, Arc<OwnedFd>>>>,
}

impl Targets {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<OwnedFd>>> {
        self.roots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, id: &str, root: Arc<OwnedFd>) {
        self.lock().insert(id.to_owned(), root);
    }

    pub fn remove(&self, id: &str) -> Option<Arc<OwnedFd>> {
        self.lock().remove(id)
    }

    pub fn clear(&self) {
        self.lock().clear();
    }

    /// The root of a workload, or of the agent itself for `vm`.
    pub fn root(&self, target: &str) -> Result<Arc<OwnedFd>, WireError> {
        if target == "vm" {
            let root = std::fs::File::open("/")
                .map_err(|error| guest_error("the agent's own root", &error))?;
            return Ok(Arc::new(root.into()));
        }
        self.lock()
            .get(target)
            .cloned()
            .ok_or_else(|| WireError::new(Code::NotFound, format!("there is no workload {target}")))
    }
}

/// An error of the kernel's, told with what was being done.
pub fn guest_error(what: &str, error: &std::io::Error) -> WireError {
    let code = match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => Code::DiskFull,
        _ => Code::GuestError,
    };
    WireError::new(code, format!("{what}: {error}")).with_errno(error.raw_os_error())
}

/// As [`guest_error`], for something a caller named by its path.
pub fn path_error(path: &str, error: &std::io::Error) -> WireError {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => {
            WireError::new(Code::PathNotFound, format!("{path}: {error}"))
                .with_errno(error.raw_os_error())
        }
        _ => guest_error(path, error),
    }
}
