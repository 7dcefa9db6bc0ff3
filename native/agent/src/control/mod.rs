//! The agent's main loop: one thread, one epoll set, no waiting anywhere else.

mod errands;
mod filing;
mod freezing;
mod identity;
mod jobs;
mod messages;
mod methods;
mod reap;
mod sessions;
mod stillness;
mod streams;
mod volumes;
mod warm;
mod workloads;

use crate::access::Targets;
use crate::bulk;
use crate::cgroup::Cgroup;
use crate::configure::Configured;
use crate::fs::watch::Watch;
use crate::kmsg;
use crate::link::Link;
use crate::log_port::LogPort;
use crate::poll::{Poll, EDGE, READ, WRITE};
use crate::ports::Ports;
use crate::session::Session;
use crate::shutdown::Shutdown;
use crate::spawn::Spawner;
use crate::threads;
use crate::volumes::Volumes;
use crate::workload::{Prepared, Workload};
use errands::Errand;
use freezing::{Freezes, Settling};
use jobs::Jobs;
use sessions::Awaited;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};
use stillness::Stillness;

pub use stillness::Writing;

/// Tokens of epoll: a session's number shifted by two and the channel below, or one of these.
const CONTROL: u64 = u64::MAX;
const LOG: u64 = u64::MAX - 1;
const CHILDREN: u64 = u64::MAX - 2;
const JOBS: u64 = u64::MAX - 3;
/// Set in the token of an output that is read only so that its writer doesn't die.
const ORPHAN: u64 = 1 << 62;

/// Something to be done at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// The session's process is dead; its outputs end where nothing more waits.
    LastCall(u64),
    /// Nobody asked for a shutdown after the root workload had ended.
    Abandoned,
    /// The shutdown's grace is over.
    Grace,
    /// Look again whether everything is gone.
    Off,
    /// The program of an errand has had its time.
    Overdue(u64),
    /// The log has been waited for long enough.
    Settled,
    /// Files of an identity that has been told may be closed.
    Retired,
}

pub struct Agent {
    poll: Poll,
    link: Link,
    /// Counts conversations, so that the answer to a question of an old one is not given in a new one.
    conversation: u64,
    /// Epoch of the present conversation. A host that greets twice under one is the same host.
    epoch: Option<u64>,
    bulk: Option<bulk::HostLeft>,
    log: LogPort,
    children: OwnedFd,
    jobs: Jobs,
    spawner: Spawner,
    null: OwnedFd,
    targets: Targets,
    configured: Option<Configured>,
    workloads: BTreeMap<String, Workload>,
    /// The root of the workload that is to come.
    prepared: Option<Prepared>,
    sessions: BTreeMap<u64, Session>,
    next_session: u64,
    /// Streams of the present conversation that carry a session.
    streams: BTreeMap<u32, u64>,
    /// Who waits for more output, by the stream of the question.
    awaited: BTreeMap<u32, Awaited>,
    /// Of files, by the stream that hears of them.
    watches: BTreeMap<u32, Watch>,
    /// The stream that was served last; the next one is served first.
    last_served: u32,
    /// Sessions by the pid of their process, until it is reaped.
    pids: BTreeMap<libc::pid_t, u64>,
    orphans: BTreeMap<u64, OwnedFd>,
    timers: Vec<(Instant, Timer)>,
    shutdown: Option<Shutdown>,
    /// What the agent is doing by programs of its own; one at a time.
    errand: Option<Errand>,
    /// Programs that must run while workloads stand still.
    errands: Option<Cgroup>,
    /// Of execs in the agent's own root.
    vm_cgroup: Option<Cgroup>,
    vm_frozen: bool,
    /// Answers that wait until the log has left.
    settling: Vec<Settling>,
    freezes: Freezes,
    /// How often something was asked for that may change what is known of a machine that stands still.
    disturbances: u64,
    /// Of this machine, since it stands still.
    stillness: Option<Stillness>,
    /// Is not so any more.
    retired: Vec<Stillness>,
    volumes: Volumes,
    boot_id: String,
    scratch: Vec<u8>,
}

/// How long the agent waits for a host's word after the root workload has ended.
const ABANDONED_AFTER: Duration = Duration::from_secs(5);
/// A background child that keeps an output open delays the exit by no more.
const LAST_CALL_AFTER: Duration = Duration::from_millis(100);

/// Runs for the rest of the VM's life.
pub fn run(ports: Ports) -> ! {
    loop {
        match Agent::beginnings() {
            Ok((poll, spawner, children, null, jobs)) => {
                let targets = Targets::default();
                let start_bulk = |port| bulk::start(port, targets.clone());
                let bulk = ports.bulk.and_then(start_bulk);
                let parts = Parts {
                    poll,
                    spawner,
                    children,
                    null,
                    jobs,
                    targets,
                    bulk,
                };
                threads::prefer_this();
                Agent::assemble(parts, ports.control, ports.log).run();
            }
            Err(error) => {
                kmsg::fail(&format!("cannot begin: {error}"));
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }
}

type Beginnings = (Poll, Spawner, OwnedFd, OwnedFd, Jobs);

struct Parts {
    poll: Poll,
    spawner: Spawner,
    children: OwnedFd,
    null: OwnedFd,
    jobs: Jobs,
    targets: Targets,
    bulk: Option<bulk::HostLeft>,
}

impl Agent {
    fn beginnings() -> io::Result<Beginnings> {
        let null = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        Ok((
            Poll::new()?,
            Spawner::new()?,
            child_signals()?,
            null.into(),
            Jobs::new()?,
        ))
    }

    fn assemble(parts: Parts, control: OwnedFd, log: Option<OwnedFd>) -> Agent {
        let boot_id =
            std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Agent {
            poll: parts.poll,
            link: Link::new(control),
            conversation: 0,
            epoch: None,
            bulk: parts.bulk,
            log: LogPort::new(log),
            children: parts.children,
            jobs: parts.jobs,
            spawner: parts.spawner,
            null: parts.null,
            targets: parts.targets,
            configured: None,
            workloads: BTreeMap::new(),
            prepared: None,
            sessions: BTreeMap::new(),
            next_session: 0,
            streams: BTreeMap::new(),
            awaited: BTreeMap::new(),
            watches: BTreeMap::new(),
            last_served: 0,
            pids: BTreeMap::new(),
            orphans: BTreeMap::new(),
            timers: Vec::new(),
            shutdown: None,
            errand: None,
            errands: None,
            vm_cgroup: None,
            vm_frozen: false,
            settling: Vec::new(),
            freezes: Freezes::default(),
            disturbances: 0,
            stillness: None,
            retired: Vec::new(),
            volumes: Volumes::default(),
            boot_id: boot_id.trim().to_owned(),
            scratch: vec![0; 64 * 1024],
        }
    }

    fn run(mut self) -> ! {
        let mut watched = vec![
            (self.link.fd(), CONTROL, READ | WRITE | EDGE),
            (self.children.as_raw_fd(), CHILDREN, READ),
            (self.jobs.fd(), JOBS, READ),
        ];
        watched.extend(self.log.fd().map(|fd| (fd, LOG, WRITE | EDGE)));
        for (fd, token, events) in watched {
            if let Err(error) = self.poll.add(fd, token, events) {
                kmsg::fail(&format!("epoll: {error}"));
            }
        }
        let mut ready = Vec::new();
        loop {
            self.listen();
            self.serve();
            let until = self.timers.iter().map(|(at, _)| *at).min();
            self.poll.wait(until, &mut ready);
            for (token, _) in &ready {
                self.dispatch(*token);
            }
            self.run_timers();
        }
    }

    fn dispatch(&mut self, token: u64) {
        match token {
            // The port itself is read at the top of each round.
            CONTROL => {}
            LOG => {
                self.log.flush();
                self.log_left();
            }
            CHILDREN => self.reap(),
            JOBS => self.finish_jobs(),
            _ if token & ORPHAN != 0 => self.drain_orphan(token),
            _ => match token & 3 {
                0 => self.feed(token >> 2),
                channel => self.collect(token >> 2, channel as u8),
            },
        }
    }

    fn set_timer(&mut self, after: Duration, timer: Timer) {
        self.timers.retain(|(_, other)| *other != timer);
        self.timers.push((Instant::now() + after, timer));
    }

    fn run_timers(&mut self) {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.timers)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.timers = later;
        let due: Vec<(Instant, Timer)> = due;
        for (_, timer) in due {
            match timer {
                Timer::LastCall(number) => self.call_last(number),
                Timer::Abandoned => self.abandoned(),
                Timer::Grace => self.kill_workloads(),
                Timer::Off => self.try_off(),
                Timer::Overdue(number) => self.errand_overdue(number),
                Timer::Settled => self.settle(),
                Timer::Retired => self.retired.clear(),
            }
        }
    }
}

/// SIGCHLD as something to be read. Blocked before any other thread begins, so that all of them block it.
fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: local structs; the descriptor is new and ours.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        crate::sys::check(libc::sigprocmask(
            libc::SIG_BLOCK,
            &set,
            std::ptr::null_mut(),
        ))?;
        let fd = crate::sys::check(libc::signalfd(
            -1,
            &set,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        ))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}
