//! Workloads: what lives in a root of its own, with its processes, namespaces and cgroup.

use crate::access::{guest_error, Targets};
use crate::cgroup::Cgroup;
use crate::configure::MERGED_ROOT;
use crate::environment::{self, Pairs};
use crate::exec::{self, Request, Surroundings};
use crate::session::{Exit, Session};
use crate::spawn::{Namespaces, Place, Plan, Program, Spawner};
use crate::{init, signals, sys};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use viv_protocol::{Code, WireError};

pub struct Workload {
    pub id: String,
    pub cgroup: Cgroup,
    pub namespaces: Namespaces,
    /// PID 1 of its namespace: ours, or the image's own init.
    pub first: libc::pid_t,
    /// The command's pid; the same as `first` where that is the image's init.
    pub pid: Option<libc::pid_t>,
    pub exit: Option<Exit>,
    pub env: Pairs,
    pub cwd: String,
    pub user: String,
    pub stop_signal: i32,
    pub frozen: bool,
    /// Its exit is in the log.
    pub exit_logged: bool,
}

/// A root that was made ahead, for the next workload to live in: its first process, the cgroup of that, and what it sees.
pub struct Prepared {
    pub cgroup: Cgroup,
    pub first: libc::pid_t,
    pub inside: Inside,
}

/// Where the first process of a workload lives. Held open: to find it again through `/proc` costs a restored guest 4 ms where
/// code is translated cold.
pub struct Inside {
    pub namespaces: Namespaces,
    pub root: Arc<OwnedFd>,
}

impl Inside {
    fn of(first: libc::pid_t) -> Result<Inside, WireError> {
        let opened = Namespaces::of(first).and_then(|namespaces| {
            // As the process sees it, with everything that is mounted in it.
            let root = Arc::new(open_directory(&format!("/proc/{first}/root"))?);
            Ok(Inside { namespaces, root })
        });
        opened.map_err(|error| guest_error("namespaces", &error))
    }
}

/// What it takes to make one.
pub struct Ground<'a> {
    pub spawner: &'a mut Spawner,
    pub targets: &'a Targets,
    pub null: BorrowedFd<'a>,
    pub prepared: Option<Prepared>,
}

/// Where systemd is told to power off in an orderly way.
const SYSTEMD_HALT: i32 = 34 + 3;

fn is_init(argv: &[String]) -> bool {
    let name = argv.first().and_then(|command| command.rsplit('/').next());
    matches!(name, Some("init" | "systemd"))
}

pub fn stop_signal(wanted: Option<&str>, argv: &[String]) -> Result<i32, WireError> {
    match wanted.filter(|name| !name.is_empty()) {
        Some(name) => signals::number(name).ok_or_else(|| {
            WireError::new(
                Code::InvalidRequest,
                format!("{name} is no signal that can stop a workload"),
            )
        }),
        None if is_init(argv) => Ok(SYSTEMD_HALT),
        None => Ok(libc::SIGTERM),
    }
}

pub fn open_directory(path: &str) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map(OwnedFd::from)
}

/// Starts a workload and, unless `argv` is empty, its command.
pub fn start(
    ground: Ground<'_>,
    request: Request,
    stop_signal: i32,
) -> Result<(Workload, Option<Session>), WireError> {
    let id = request.target.clone();
    let own_init = is_init(&request.argv);
    let prepared = match ground.prepared {
        Some(prepared) if own_init => {
            prepared.give_up();
            None
        }
        other => other,
    };
    let (cgroup, ready) = match prepared {
        Some(prepared) => (prepared.cgroup, Some((prepared.first, prepared.inside))),
        None => {
            let made = Cgroup::create(&id).map_err(|error| guest_error("cgroup", &error))?;
            (made, None)
        }
    };
    let (env, cwd, user) = (
        request.env.clone(),
        request.cwd.clone(),
        request.user.clone(),
    );
    let begun = if own_init {
        begin_own_init(ground.spawner, &cgroup, ground.null, request)?
    } else {
        begin_command(ground.spawner, &cgroup, ground.null, ready, request)?
    };
    let (first, Inside { namespaces, root }, session) = begun;
    ground.targets.set(&id, root);
    let pid = session.as_ref().map(|session| session.pid);
    let workload = Workload {
        id,
        cgroup,
        namespaces,
        first,
        pid,
        exit: None,
        env,
        cwd,
        user,
        stop_signal,
        frozen: false,
        exit_logged: false,
    };
    Ok((workload, session))
}

/// The first process of a workload, where it lives, and the session of its command.
type Begun = (libc::pid_t, Inside, Option<Session>);

/// The command is an init system, and so the first process itself.
fn begin_own_init(
    spawner: &mut Spawner,
    cgroup: &Cgroup,
    null: BorrowedFd<'_>,
    mut request: Request,
) -> Result<Begun, WireError> {
    let merged = open_directory(MERGED_ROOT)
        .map_err(|error| guest_error("the root is not mounted", &error))?;
    environment::set(&mut request.env, "container", "vivarium");
    let place = Place::New {
        root: MERGED_ROOT,
        init: true,
    };
    let around = Surroundings {
        root: merged.as_fd(),
        place,
        cgroup: Some(cgroup.directory()),
        env: &Vec::new(),
        null,
    };
    let session = exec::start(spawner, request, around)?;
    let first = session.pid;
    let inside = Inside::of(first).inspect_err(|_| end(first))?;
    Ok((first, inside, Some(session)))
}

/// The first process is the agent's own, and may be `ready`. The command lives beside it, unless there is none.
fn begin_command(
    spawner: &mut Spawner,
    cgroup: &Cgroup,
    null: BorrowedFd<'_>,
    ready: Option<(libc::pid_t, Inside)>,
    request: Request,
) -> Result<Begun, WireError> {
    let (first, inside) = match ready {
        Some(ready) => ready,
        None => {
            let first = start_init(spawner, cgroup, null)?;
            (first, Inside::of(first).inspect_err(|_| end(first))?)
        }
    };
    let around = Surroundings {
        root: inside.root.as_fd(),
        place: Place::Inside(&inside.namespaces),
        cgroup: Some(cgroup.directory()),
        env: &Vec::new(),
        null,
    };
    let session = (!request.argv.is_empty())
        .then(|| exec::start(spawner, request, around))
        .transpose()
        .inspect_err(|_| end(first))?;
    Ok((first, inside, session))
}

impl Prepared {
    /// Nobody wants to live in it. Its first process is gone, and reaped, when this returns.
    pub fn give_up(self) {
        end(self.first);
        // SAFETY: no pointers.
        unsafe { libc::waitpid(self.first, std::ptr::null_mut(), 0) };
    }
}

fn end(pid: libc::pid_t) {
    // It may have ended by itself; then there is nothing to do.
    let _gone = sys::kill(pid, libc::SIGKILL);
}

fn start_init(
    spawner: &mut Spawner,
    cgroup: &Cgroup,
    null: BorrowedFd<'_>,
) -> Result<libc::pid_t, WireError> {
    let own = File::open("/proc/self/exe")
        .map_err(|error| guest_error("the agent's own file", &error))?;
    let name = std::ffi::CString::from(c"viv-init");
    debug_assert_eq!(name.to_str(), Ok(init::NAME));
    let plan = Plan {
        program: Program::File(own.into()),
        argv: vec![name],
        env: Vec::new(),
        cwd: c"/".into(),
        uid: 0,
        gid: 0,
        groups: Vec::new(),
        place: Place::New {
            root: MERGED_ROOT,
            init: false,
        },
        cgroup: Some(cgroup.directory()),
        stdio: [null.as_raw_fd(); 3],
        tty: false,
    };
    spawner.spawn(&plan).map_err(|failure| {
        guest_error(
            &format!("the workload's root failed at {:?}", failure.step),
            &io::Error::from_raw_os_error(failure.errno),
        )
    })
}

impl Workload {
    /// The process that stands for it: its command, or PID 1 where it has none.
    pub fn main_pid(&self) -> libc::pid_t {
        self.pid.unwrap_or(self.first)
    }

    /// Whether something can be run in it.
    pub fn open_for_exec(&self) -> Result<(), WireError> {
        let conflict = |message: String| Err(WireError::new(Code::Conflict, message));
        if self.exit.is_some() {
            return conflict(format!("the workload {} has ended", self.id));
        }
        if self.frozen {
            return conflict(format!("the workload {} is frozen", self.id));
        }
        Ok(())
    }

    /// Where an exec goes once an init system has made inner nodes of the workload's cgroup: beside that init.
    pub fn inner_cgroup(&self) -> Option<OwnedFd> {
        let own = std::fs::read_to_string(format!("/proc/{}/cgroup", self.first)).ok()?;
        let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
        File::open(format!("/sys/fs/cgroup/{path}"))
            .ok()
            .map(OwnedFd::from)
    }

    /// Ends what is left once its command has ended, as the end of PID 1 does.
    pub fn end_rest(&self) {
        end(self.first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(list: &[&str]) -> Vec<String> {
        list.iter().map(|argument| (*argument).to_owned()).collect()
    }

    #[test]
    fn init_systems_are_known_by_their_names_and_stopped_their_way() {
        assert_eq!(stop_signal(None, &argv(&["/lib/systemd/systemd"])), Ok(37));
        assert_eq!(stop_signal(None, &argv(&["/sbin/init"])), Ok(37));
        assert_eq!(stop_signal(None, &argv(&["nginx"])), Ok(15));
        assert_eq!(stop_signal(Some("SIGQUIT"), &argv(&["nginx"])), Ok(3));
        assert_eq!(stop_signal(Some(""), &argv(&["initd"])), Ok(15));
        assert!(stop_signal(Some("SIGWAT"), &argv(&["nginx"])).is_err());
    }
}
