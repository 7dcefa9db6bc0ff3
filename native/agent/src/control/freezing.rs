//! Standing still: everything that runs code for the user, and the agent's own answers in the meantime.

use super::jobs::Outcome;
use super::methods::nothing;
use super::{Agent, Timer};
use crate::access::guest_error;
use crate::cgroup;
use std::path::PathBuf;
use std::time::Duration;
use viv_protocol::{Code, Fields, WireError};

/// How long the kernel may take to freeze, and to thaw again.
const FREEZE_PATIENCE: Duration = Duration::from_secs(2);
const THAW_PATIENCE: Duration = Duration::from_secs(5);
/// How long the log may take to leave before the guest is said to stand still.
const LOG_PATIENCE: Duration = Duration::from_millis(500);

/// A freeze or thaw under way.
pub(super) struct Freezing {
    frozen: bool,
    /// Whether the agent's own root was closed for execs before; none where only a workload is meant.
    vm_was: Option<bool>,
    groups: Vec<Group>,
}

struct Group {
    /// None: the execs in the agent's own root.
    id: Option<String>,
    path: PathBuf,
    /// It stood still before.
    was: bool,
}

/// Who waits for the log to leave: conversation and stream.
pub(super) type Settling = (u64, u32);

impl Agent {
    pub(super) fn set_frozen(&mut self, stream: u32, fields: &Fields<'_>, frozen: bool) {
        let freezing = match self.choose(fields, frozen) {
            Ok(freezing) => freezing,
            Err(error) => return self.link.respond(stream, &Err(error)),
        };
        let work = move || {
            let result = freezing.apply();
            Outcome::Frozen(freezing, result)
        };
        if let Err(error) = self.jobs.spawn(self.conversation, stream, work) {
            self.link
                .respond(stream, &Err(guest_error("a thread", &error)));
        }
    }

    /// From now on nothing is started in what is to be frozen: a new process would freeze before it runs, and the agent with it.
    fn choose(&mut self, fields: &Fields<'_>, frozen: bool) -> Result<Freezing, WireError> {
        let id = fields.text_if("id")?;
        if let Some(missing) = id.filter(|id| !self.workloads.contains_key(*id)) {
            let message = format!("there is no workload {missing}");
            return Err(WireError::new(Code::NotFound, message));
        }
        if frozen && self.errand.is_some() {
            let message = "programs of the agent's own are running; they end by themselves";
            return Err(WireError::new(Code::Conflict, message));
        }
        let mut groups = Vec::new();
        for workload in self.workloads.values_mut() {
            if id.is_none_or(|id| id == workload.id) {
                let was = std::mem::replace(&mut workload.frozen, frozen);
                if workload.exit.is_none() {
                    let path = workload.cgroup.path().to_owned();
                    let id = Some(workload.id.clone());
                    groups.push(Group { id, path, was });
                }
            }
        }
        let vm_was = id
            .is_none()
            .then(|| std::mem::replace(&mut self.vm_frozen, frozen));
        if let Some(was) = vm_was {
            groups.extend(self.vm_cgroup.as_ref().map(|cgroup| Group {
                id: None,
                path: cgroup.path().to_owned(),
                was,
            }));
        }
        Ok(Freezing {
            frozen,
            vm_was,
            groups,
        })
    }

    pub(super) fn frozen(
        &mut self,
        conversation: u64,
        stream: u32,
        freezing: Freezing,
        result: Result<(), WireError>,
    ) {
        if let Err(error) = result {
            if freezing.frozen {
                self.forget_frozen(&freezing);
            }
            return self.answer(conversation, stream, &Err(error));
        }
        if freezing.frozen {
            // What was printed before belongs to the time before.
            let logged = self.sessions.iter().filter(|(_, session)| session.logged);
            let logged: Vec<u64> = logged.map(|(number, _)| *number).collect();
            logged.into_iter().for_each(|number| self.drain(number));
            self.log.write();
            if !self.log.is_drained() {
                self.settling.push((conversation, stream));
                return self.set_timer(LOG_PATIENCE, Timer::Settled);
            }
        }
        self.answer(conversation, stream, &nothing());
    }

    /// It was thawed again, or is being.
    fn forget_frozen(&mut self, freezing: &Freezing) {
        for group in freezing.groups.iter().filter(|group| !group.was) {
            let id = group.id.as_deref().unwrap_or_default();
            if let Some(workload) = self.workloads.get_mut(id) {
                workload.frozen = false;
            }
        }
        if freezing.vm_was == Some(false) {
            self.vm_frozen = false;
        }
    }

    pub(super) fn log_left(&mut self) {
        if !self.settling.is_empty() && self.log.is_drained() {
            self.timers.retain(|(_, timer)| *timer != Timer::Settled);
            self.settle();
        }
    }

    pub(super) fn settle(&mut self) {
        for (conversation, stream) in std::mem::take(&mut self.settling) {
            self.answer(conversation, stream, &nothing());
        }
    }
}

impl Freezing {
    /// All or nothing: what this call has stopped goes on where something else can't be stopped.
    fn apply(&self) -> Result<(), WireError> {
        let patience = if self.frozen {
            FREEZE_PATIENCE
        } else {
            THAW_PATIENCE
        };
        for group in &self.groups {
            let Err(error) = cgroup::set_frozen(&group.path, self.frozen, patience) else {
                continue;
            };
            if self.frozen {
                for group in self.groups.iter().filter(|group| !group.was) {
                    if let Err(error) = cgroup::set_frozen(&group.path, false, THAW_PATIENCE) {
                        crate::kmsg::fail(&format!("{} stays frozen: {error}", group.name()));
                    }
                }
            }
            let verb = if self.frozen { "freezing" } else { "thawing" };
            return Err(guest_error(&format!("{verb} {}", group.name()), &error));
        }
        Ok(())
    }
}

impl Group {
    fn name(&self) -> &str {
        self.id
            .as_deref()
            .unwrap_or("the execs of the guest itself")
    }
}
