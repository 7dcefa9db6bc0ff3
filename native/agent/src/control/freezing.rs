//! Standing still: everything that runs code for the user, and the agent's own answers in the meantime.

use super::jobs::Outcome;
use super::methods::{nothing, Answer};
use super::stillness::Stillness;
use super::{Agent, Timer};
use crate::access::guest_error;
use crate::cgroup::Freezer;
use crate::kmsg;
use std::os::fd::AsFd;
use std::time::Duration;
use viv_protocol::{Code, Fields, WireError};

/// How long the kernel may take to freeze.
const FREEZE_PATIENCE: Duration = Duration::from_secs(2);
/// How long the log may take to leave before the guest is said to stand still.
const LOG_PATIENCE: Duration = Duration::from_millis(500);

/// What is frozen, or thawed, by one call.
#[derive(Clone)]
pub(super) struct Freezing {
    /// Whether the agent's own root was closed for execs before; none where only a workload is meant.
    vm_was: Option<bool>,
    groups: Vec<Group>,
    /// How much had been disturbed by then.
    since: u64,
}

#[derive(Clone)]
struct Group {
    /// None: the execs in the agent's own root.
    id: Option<String>,
    freezer: Freezer,
    /// It stood still before.
    was: bool,
}

/// A thaw that came while a freeze was under way would come too early.
#[derive(Default)]
pub(super) struct Freezes {
    under_way: usize,
    /// Conversation and stream of who asked, and what.
    thaws: Vec<(u64, u32, Option<String>)>,
}

/// Who waits for the log to leave: conversation and stream.
pub(super) type Settling = (u64, u32);

impl Agent {
    pub(super) fn freeze(&mut self, stream: u32, fields: &Fields<'_>) {
        let id = match fields.text_if("id") {
            Ok(id) => id,
            Err(error) => return self.link.respond(stream, &Err(error)),
        };
        let begun = self
            .choose(id, true)
            .and_then(|freezing| self.begin_freeze(stream, freezing));
        if let Err(error) = begun {
            self.link.respond(stream, &Err(error));
        }
    }

    fn begin_freeze(&mut self, stream: u32, freezing: Freezing) -> Result<(), WireError> {
        let root = freezing.vm_was.map(|_| self.image_root());
        let chosen = freezing.clone();
        let work = move || {
            let result = freezing.freeze();
            let still = match (&result, root) {
                (Ok(()), Some(Ok(root))) => Stillness::look(root.as_fd()),
                _ => None,
            };
            Outcome::Frozen(freezing, result, still)
        };
        let spawned = self.jobs.spawn(self.conversation, stream, work);
        match spawned {
            Ok(()) => self.freezes.under_way += 1,
            Err(_) => self.forget_frozen(&chosen),
        }
        spawned.map_err(|error| guest_error("a thread", &error))
    }

    /// On no thread, and waiting for nothing but a freeze that is under way: of a copy that goes on this is the last thing before the
    /// user's code.
    pub(super) fn thaw(&mut self, stream: u32, fields: &Fields<'_>) {
        let id = match fields.text_if("id") {
            Ok(id) => id.map(str::to_owned),
            Err(error) => return self.link.respond(stream, &Err(error)),
        };
        if self.freezes.under_way > 0 {
            self.freezes.thaws.push((self.conversation, stream, id));
            return;
        }
        let answer = self.thaw_now(id.as_deref());
        self.link.respond(stream, &answer);
    }

    fn thaw_now(&mut self, id: Option<&str>) -> Answer {
        for group in self.choose(id, false)?.groups {
            let thawed = group.freezer.thaw();
            thawed.map_err(|error| guest_error(&format!("thawing {}", group.name()), &error))?;
        }
        nothing()
    }

    /// From now on nothing is started in what is to be frozen: a new process would freeze before it runs, and the agent with it.
    fn choose(&mut self, id: Option<&str>, frozen: bool) -> Result<Freezing, WireError> {
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
                    let freezer = workload.cgroup.freezer().clone();
                    let id = Some(workload.id.clone());
                    groups.push(Group { id, freezer, was });
                }
            }
        }
        let vm_was = id
            .is_none()
            .then(|| std::mem::replace(&mut self.vm_frozen, frozen));
        if let Some(was) = vm_was {
            groups.extend(self.vm_cgroup.as_ref().map(|cgroup| Group {
                id: None,
                freezer: cgroup.freezer().clone(),
                was,
            }));
        }
        Ok(Freezing {
            vm_was,
            groups,
            since: self.disturbances,
        })
    }

    pub(super) fn frozen(
        &mut self,
        conversation: u64,
        stream: u32,
        frozen: (Freezing, Result<(), WireError>),
        still: Option<Stillness>,
    ) {
        self.freezes.under_way -= 1;
        self.end_freeze(conversation, stream, frozen, still);
        if self.freezes.under_way == 0 {
            for (conversation, stream, id) in std::mem::take(&mut self.freezes.thaws) {
                let answer = self.thaw_now(id.as_deref());
                self.answer(conversation, stream, &answer);
            }
        }
    }

    fn end_freeze(
        &mut self,
        conversation: u64,
        stream: u32,
        (freezing, result): (Freezing, Result<(), WireError>),
        still: Option<Stillness>,
    ) {
        if let Err(error) = result {
            self.forget_frozen(&freezing);
            return self.answer(conversation, stream, &Err(error));
        }
        self.keep_still(still, freezing.since);
        // What was printed before belongs to the time before.
        let logged = self.sessions.iter().filter(|(_, session)| session.logged);
        let logged: Vec<u64> = logged.map(|(number, _)| *number).collect();
        logged.into_iter().for_each(|number| self.drain(number));
        self.log.write();
        if !self.log.is_drained() {
            self.settling.push((conversation, stream));
            return self.set_timer(LOG_PATIENCE, Timer::Settled);
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
    fn freeze(&self) -> Result<(), WireError> {
        for group in &self.groups {
            let Err(error) = group.freezer.freeze(FREEZE_PATIENCE) else {
                continue;
            };
            for group in self.groups.iter().filter(|group| !group.was) {
                if let Err(error) = group.freezer.thaw() {
                    kmsg::fail(&format!("{} stays frozen: {error}", group.name()));
                }
            }
            return Err(guest_error(&format!("freezing {}", group.name()), &error));
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
