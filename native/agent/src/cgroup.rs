use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ALL: &str = "/sys/fs/cgroup/viv";

/// Share of the CPU for all workloads together; each thread of the agent has 100, but for the one that answers the host (threads.rs).
const CPU_WEIGHT: &str = "500";

/// The cgroup of one workload: everything of it, execs included.
pub struct Cgroup {
    path: PathBuf,
    directory: File,
    /// Kills by the OOM killer that have been seen so far.
    oom_seen: u64,
    freezer: Freezer,
}

/// Lets what is in a cgroup stand still, and go on.
#[derive(Clone)]
pub struct Freezer {
    path: PathBuf,
    /// Open, so that to go on takes no walk to it.
    switch: Arc<File>,
}

/// Hands the controllers down so that each workload is accounted, and can be limited, for itself.
fn delegate(parent: &Path) {
    for controller in ["memory", "pids", "cpu", "io"] {
        // A kernel without a controller goes without it.
        let _absent_is_fine = fs::write(
            parent.join("cgroup.subtree_control"),
            format!("+{controller}"),
        );
    }
}

/// Workloads that eat all memory meet the OOM killer of their cgroup, at once. Without a limit the whole machine, agent
/// and all, would first spend minutes reading the same few pages of programs again and again.
fn leave_memory_for_the_agent() {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = memory.lines().find_map(|line| {
        line.strip_prefix("MemAvailable:")?
            .split_whitespace()
            .next()?
            .parse::<u64>()
            .ok()
    });
    if let Some(kib) = available {
        // A kernel that does not account memory has no limit to set.
        let _absent_is_fine = fs::write(
            Path::new(ALL).join("memory.max"),
            (kib * 1024 / 20 * 19).to_string(),
        );
    }
}

impl Cgroup {
    pub fn create(id: &str) -> io::Result<Cgroup> {
        let path = Path::new(ALL).join(id);
        if !Path::new(ALL).exists() {
            delegate(Path::new("/sys/fs/cgroup"));
            fs::create_dir(ALL)?;
            // Else a busy copy, which has two threads and the kernel's writer, would leave an exec a fourth of the time.
            let _absent_is_fine = fs::write(Path::new(ALL).join("cpu.weight"), CPU_WEIGHT);
            delegate(Path::new(ALL));
            leave_memory_for_the_agent();
        }
        Cgroup::open(path)
    }

    /// One that is no workload's: it has no part in their limits, and freezes by itself.
    pub fn beside(name: &str) -> io::Result<Cgroup> {
        Cgroup::open(Path::new("/sys/fs/cgroup").join(name))
    }

    fn open(path: PathBuf) -> io::Result<Cgroup> {
        if !path.exists() {
            fs::create_dir(&path)?;
        }
        let mut cgroup = Cgroup {
            directory: File::open(&path)?,
            freezer: Freezer::open(&path)?,
            path,
            oom_seen: 0,
        };
        cgroup.oom_seen = cgroup.oom_kills();
        Ok(cgroup)
    }

    /// As [`Cgroup::beside`], made when it is wanted for the first time.
    pub fn beside_once<'a>(slot: &'a mut Option<Cgroup>, name: &str) -> io::Result<&'a Cgroup> {
        if slot.is_none() {
            *slot = Some(Cgroup::beside(name)?);
        }
        slot.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Moves what runs in it to another, whose state (frozen or not) it takes on.
    pub fn hand_over(&self, to: BorrowedFd<'_>) -> io::Result<()> {
        let members = format!("/proc/self/fd/{}/cgroup.procs", to.as_raw_fd());
        for pid in fs::read_to_string(self.path.join("cgroup.procs"))?.lines() {
            match fs::write(&members, pid) {
                // It has ended since.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                other => other?,
            }
        }
        Ok(())
    }

    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn freezer(&self) -> &Freezer {
        &self.freezer
    }

    fn oom_kills(&self) -> u64 {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        let count = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
        count.unwrap_or(0)
    }

    /// Whether the OOM killer has struck here since the last time this was asked.
    pub fn oom_since_last(&mut self) -> bool {
        let now = self.oom_kills();
        std::mem::replace(&mut self.oom_seen, now) < now
    }

    /// SIGKILL to everything in it, at once and without a race.
    pub fn kill_all(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.kill"), "1")
    }

    pub fn processes(&self) -> usize {
        count_processes(&self.path)
    }
}

pub fn count_processes(path: &Path) -> usize {
    let own = fs::read_to_string(path.join("cgroup.procs")).map_or(0, |list| list.lines().count());
    let below = fs::read_dir(path).map_or(0, |entries| {
        let directories = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        directories
            .map(|entry| count_processes(&entry.path()))
            .sum()
    });
    own + below
}

impl Freezer {
    fn open(path: &Path) -> io::Result<Freezer> {
        let switch = File::options()
            .write(true)
            .open(path.join("cgroup.freeze"))?;
        Ok(Freezer {
            path: path.to_owned(),
            switch: Arc::new(switch),
        })
    }

    /// All of it may run again when this returns.
    pub fn thaw(&self) -> io::Result<()> {
        self.switch.write_all_at(b"0", 0)
    }

    /// Waits until the kernel says that all of it stands still.
    pub fn freeze(&self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        let events = File::open(self.path.join("cgroup.events"))?;
        self.switch.write_all_at(b"1", 0)?;
        loop {
            // Of the very descriptor that is waited for: what was not read through it counts as news for ever.
            let mut told = [0; 256];
            let length = events.read_at(&mut told, 0)?;
            if told[..length]
                .split(|byte| *byte == b'\n')
                .any(|line| line == b"frozen 1")
            {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
            }
            let mut asked = libc::pollfd {
                fd: events.as_raw_fd(),
                events: libc::POLLPRI,
                revents: 0,
            };
            // SAFETY: one struct, and its number. A change before the call is caught by the short limit.
            unsafe { libc::poll(&mut asked, 1, left.as_millis().min(20) as i32) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_counted_through_nested_groups() {
        let dir = std::env::temp_dir().join(format!("viv-agent-cgroup-{}", std::process::id()));
        fs::create_dir_all(dir.join("init.scope")).expect("directory");
        fs::write(dir.join("cgroup.procs"), "1\n2\n").expect("file");
        fs::write(dir.join("init.scope/cgroup.procs"), "3\n").expect("file");
        let count = count_processes(&dir);
        fs::remove_dir_all(&dir).expect("cleaned up");
        assert_eq!(count, 3);
    }
}
