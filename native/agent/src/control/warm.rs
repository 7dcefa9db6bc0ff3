//! `warm`: the whole way of a first start, once, so that a machine saved after it has walked it before.

use super::errands::{request, Errand};
use super::methods::nothing;
use super::Agent;
use crate::access::guest_error;
use crate::cgroup::Cgroup;
use crate::exec::{self, Surroundings};
use crate::init;
use crate::spawn::Place;
use crate::workload::{self, Ground, Workload};
use std::fs::File;
use std::os::fd::AsFd;
use std::time::Duration;
use viv_protocol::{Value, WireError};

const ID: &str = "viv:warm";
/// The agent's file, also where a workload's root is the root.
const SELF: &str = "/proc/self/exe";
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Warming {
    conversation: u64,
    stream: u32,
    /// A workload nobody sees. Its root ends after its command.
    workload: Option<Workload>,
    root_ended: bool,
    command_ended: bool,
}

impl Agent {
    pub(super) fn warm(&mut self, stream: u32) {
        if let Err(error) = self.begin_warming(stream) {
            self.link.respond(stream, &Err(error));
        }
    }

    fn begin_warming(&mut self, stream: u32) -> Result<(), WireError> {
        self.no_errand()?;
        let mut request = request(&[SELF, init::NOTHING], Vec::new());
        let fresh = self.configured.is_some() && self.workloads.is_empty();
        let (workload, session) = if fresh {
            request.target = ID.to_owned();
            let ground = Ground {
                spawner: &mut self.spawner,
                targets: &self.targets,
                null: self.null.as_fd(),
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
            conversation: self.conversation,
            stream,
            root_ended: workload.is_none(),
            workload,
            command_ended: false,
        }));
        match session {
            Some(session) => drop(self.add_errand(session, PATIENCE)),
            None => self.warm_ended(),
        }
        Ok(())
    }

    /// The command has come and gone; now its root.
    pub(super) fn warm_ended(&mut self) {
        if let Some(Errand::Warm(warming)) = &mut self.errand {
            warming.command_ended = true;
            if let Some(workload) = &warming.workload {
                workload.end_rest();
            }
        }
        self.end_warming();
    }

    pub(super) fn warm_root_ended(&mut self, pid: libc::pid_t) {
        if let Some(Errand::Warm(warming)) = &mut self.errand {
            let first = warming.workload.as_ref().map(|workload| workload.first);
            if first == Some(pid) {
                warming.root_ended = true;
                self.end_warming();
            }
        }
    }

    fn end_warming(&mut self) {
        let over = matches!(&self.errand, Some(Errand::Warm(warming)) if warming.command_ended && warming.root_ended);
        if !over {
            return;
        }
        if let Some(Errand::Warm(warming)) = self.errand.take() {
            self.targets.remove(ID);
            let answer: Result<Value, WireError> = match warming.workload {
                Some(workload) => workload
                    .cgroup
                    .remove()
                    .map_err(|error| guest_error("cgroup", &error))
                    .and_then(|()| nothing()),
                None => nothing(),
            };
            self.answer(warming.conversation, warming.stream, &answer);
        }
    }
}
