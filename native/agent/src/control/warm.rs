//! `warm`: the whole way of a first start, once, so that a machine saved after it has walked it before, and has a root ready
//! for its workload.

use super::errands::{request, Errand};
use super::jobs::Outcome;
use super::methods::nothing;
use super::stillness::Stillness;
use super::Agent;
use crate::access::guest_error;
use crate::cgroup::Cgroup;
use crate::configure::MERGED_ROOT;
use crate::etc_files;
use crate::exec::{self, Surroundings};
use crate::init;
use crate::spawn::Place;
use crate::sys;
use crate::workload::{self, Ground, Inside, Prepared, Workload};
use crate::{kmsg, network};
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;
use viv_protocol::{Fields, WireError};

/// Whose root is made.
const ROOT: &str = "root";
/// The agent's file, also where a workload's root is the root.
const SELF: &str = "/proc/self/exe";
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a file that are read: what is cached is part of the saved memory.
const MOST_READ: u64 = 8 << 20;

/// So that it need not be unpacked from its layer again. What isn't there, or can't be read, is left cold.
fn read(root: BorrowedFd<'_>, file: &str) {
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
    let opened = sys::open_in_root(root, Path::new(file), flags, 0).map(File::from);
    if let Ok(opened) = opened {
        if opened.metadata().is_ok_and(|about| about.is_file()) {
            let _unreadable_is_cold = io::copy(&mut opened.take(MOST_READ), &mut io::sink());
        }
    }
}

/// How long timers that the way here has set may take: the longest, of the block layer, looks back over 100 ms.
const SETTLING: Duration = Duration::from_millis(250);

/// Leaves nothing to be done that every machine made from this would do again: the card up, the files of an identity on the disk,
/// in the cache and in the journal's hands, and no memory to be given back once no processor looks at it any more.
fn settle() {
    if let Err(error) = network::raise() {
        kmsg::note(&format!("the card stays down: {error}"));
    }
    etc_files::touch(MERGED_ROOT);
    // SAFETY: no pointers.
    unsafe {
        std::thread::sleep(SETTLING);
        libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0);
    }
}

pub(super) struct Warming {
    conversation: u64,
    stream: u32,
    /// A workload nobody sees. Its root outlives its command.
    workload: Option<Workload>,
}

impl Agent {
    pub(super) fn warm(&mut self, stream: u32, fields: &Fields<'_>) {
        match self.read_first(stream, fields) {
            Ok(true) => {}
            Ok(false) => self.begin_warming(self.conversation, stream),
            Err(error) => self.link.respond(stream, &Err(error)),
        }
    }

    /// Whether there is something to be read before, on a thread.
    fn read_first(&mut self, stream: u32, fields: &Fields<'_>) -> Result<bool, WireError> {
        let files = fields.texts_if("files")?.unwrap_or_default();
        if files.is_empty() || self.configured.is_none() {
            return Ok(false);
        }
        let root = self.image_root()?;
        let work = move || {
            files.iter().for_each(|file| read(root.as_fd(), file));
            Outcome::Read
        };
        let spawned = self.jobs.spawn(self.conversation, stream, work);
        spawned.map_err(|error| guest_error("a thread", &error))?;
        Ok(true)
    }

    pub(super) fn begin_warming(&mut self, conversation: u64, stream: u32) {
        if let Err(error) = self.start_warming(conversation, stream) {
            self.answer(conversation, stream, &Err(error));
        }
    }

    fn start_warming(&mut self, conversation: u64, stream: u32) -> Result<(), WireError> {
        self.no_errand()?;
        let mut request = request(&[SELF, init::NOTHING], Vec::new());
        let fresh = self.configured.is_some() && self.workloads.is_empty();
        let (workload, session) = if fresh {
            etc_files::make(MERGED_ROOT);
            request.target = ROOT.to_owned();
            let ground = Ground {
                spawner: &mut self.spawner,
                targets: &self.targets,
                null: self.null.as_fd(),
                prepared: self.prepared.take(),
            };
            let (workload, session) = workload::start(ground, request, libc::SIGKILL)?;
            (Some(workload), session)
        } else {
            let root = File::open("/").map_err(|error| guest_error("the agent's root", &error))?;
            let cgroup = Cgroup::beside_once(&mut self.errands, "errands")
                .map_err(|error| guest_error("cgroup", &error))?;
            let around = Surroundings {
                root: root.as_fd(),
                place: Place::Agent,
                cgroup: Some(cgroup.directory()),
                env: &Vec::new(),
                null: self.null.as_fd(),
            };
            (None, Some(exec::start(&mut self.spawner, request, around)?))
        };
        self.errand = Some(Errand::Warm(Warming {
            conversation,
            stream,
            workload,
        }));
        match session {
            Some(session) => drop(self.add_errand(session, PATIENCE)),
            None => self.warm_ended(),
        }
        Ok(())
    }

    /// The command has come and gone. Its root stays for the workload that is to come.
    pub(super) fn warm_ended(&mut self) {
        let Some(Errand::Warm(warming)) = self.errand.take() else {
            return;
        };
        let (conversation, stream) = (warming.conversation, warming.stream);
        // Where a workload lives already nothing was made for the next.
        let made = warming
            .workload
            .and_then(|workload| Some((workload, self.targets.remove(ROOT)?)));
        let Some((workload, root)) = made else {
            return self.answer(conversation, stream, &nothing());
        };
        let namespaces = workload.namespaces;
        let prepared = Prepared {
            cgroup: workload.cgroup,
            first: workload.first,
            inside: Inside { namespaces, root },
        };
        if self.workloads.is_empty() {
            self.prepared = Some(prepared);
        } else {
            prepared.give_up();
        }
        let since = self.disturbances;
        let settled = self.jobs.spawn(conversation, stream, move || {
            settle();
            let root = workload::open_directory(MERGED_ROOT);
            let still = root.ok().and_then(|root| Stillness::look(root.as_fd()));
            Outcome::Warmed(still, since)
        });
        if let Err(error) = settled {
            self.answer(conversation, stream, &Err(guest_error("a thread", &error)));
        }
    }

    pub(super) fn prepared_ended(&mut self, pid: libc::pid_t) {
        self.prepared.take_if(|prepared| prepared.first == pid);
    }
}
