//! Programs that the agent runs on its own account: hooks of an identity, the making of SSH keys, warming up. They are
//! sessions that no host sees, outside of every cgroup that may stand still, and bounded in time.

use super::identity::Renaming;
use super::warm::Warming;
use super::{Agent, Timer};
use crate::access::guest_error;
use crate::cgroup::Cgroup;
use crate::configure::MERGED_ROOT;
use crate::environment::Pairs;
use crate::exec::{self, Request, Surroundings};
use crate::session::Exit;
use crate::spawn::Place;
use crate::workload::{self, Workload};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use viv_protocol::{Code, WireError};

/// What is being done; one at a time.
pub(super) enum Errand {
    Identity(Renaming),
    Warm(Warming),
}

/// How the program of an errand ended, and the last thing it said.
pub(super) struct Ended {
    pub exit: Exit,
    pub last_line: String,
}

/// The program that is to be run.
pub(super) fn request(argv: &[&str], env: Pairs) -> Request {
    Request {
        exec_id: "viv:errand".to_owned(),
        target: "viv:errand".to_owned(),
        argv: argv.iter().map(|argument| (*argument).to_owned()).collect(),
        env,
        cwd: "/".to_owned(),
        user: String::new(),
        tty: None,
        stdin: false,
        lossy: true,
    }
}

impl Agent {
    pub(super) fn no_errand(&self) -> Result<(), WireError> {
        match self.errand {
            None => Ok(()),
            Some(Errand::Identity(_)) => Err(busy("an identity is being told")),
            Some(Errand::Warm(_)) => Err(busy("the guest is being warmed")),
        }
    }

    /// The root workload, while it runs.
    pub(super) fn root_workload(&self) -> Option<&Workload> {
        self.workloads
            .get("root")
            .filter(|workload| workload.exit.is_none())
    }

    /// The root as the root workload sees it; without one as the image and its disk make it.
    pub(super) fn image_root(&self) -> Result<Arc<OwnedFd>, WireError> {
        if self.root_workload().is_some() {
            return self.targets.root("root");
        }
        let merged = workload::open_directory(MERGED_ROOT);
        merged
            .map(Arc::new)
            .map_err(|error| guest_error("the root is not mounted", &error))
    }

    /// Runs a program of the image where its root workload lives, or in a new root. Answers its session's number.
    pub(super) fn run_in_image(
        &mut self,
        request: Request,
        within: Duration,
    ) -> Result<u64, WireError> {
        let root = self.image_root()?;
        let inside = self
            .workloads
            .get("root")
            .filter(|workload| workload.exit.is_none());
        let place = inside.map_or(
            Place::New {
                root: MERGED_ROOT,
                init: false,
            },
            |workload| Place::Inside(&workload.namespaces),
        );
        let cgroup = Cgroup::beside_once(&mut self.errands, "errands")
            .map_err(|error| guest_error("cgroup", &error))?;
        let around = Surroundings {
            root: root.as_fd(),
            place,
            cgroup: Some(cgroup.directory()),
            env: &Vec::new(),
            null: self.null.as_fd(),
        };
        let session = exec::start(&mut self.spawner, request, around)?;
        Ok(self.add_errand(session, within))
    }

    pub(super) fn add_errand(
        &mut self,
        mut session: crate::session::Session,
        within: Duration,
    ) -> u64 {
        session.errand = true;
        let number = self.add_session(session);
        self.set_timer(within, Timer::Overdue(number));
        number
    }

    /// Its time is over: it is killed with everything it has started.
    pub(super) fn errand_overdue(&mut self, number: u64) {
        if let Some(session) = self.sessions.get(&number) {
            crate::session::kill_session(session.pid);
        }
        if let Some(Errand::Identity(renaming)) = &mut self.errand {
            renaming.late = true;
        }
        if let Some(Err(error)) = self.errands.as_ref().map(Cgroup::kill_all) {
            crate::kmsg::fail(&format!("killing a hook: {error}"));
        }
    }

    pub(super) fn errand_finished(&mut self, number: u64) {
        self.timers
            .retain(|(_, timer)| *timer != Timer::Overdue(number));
        let Some(session) = self.sessions.remove(&number) else {
            return;
        };
        if !matches!(&self.errand, Some(Errand::Identity(renaming)) if renaming.late) {
            self.keep_what_it_left();
        }
        let [stdout, stderr] = &session.outputs;
        let last_line = [stderr, stdout]
            .map(|output| output.last_line())
            .into_iter()
            .find(|line| !line.is_empty());
        let ended = Ended {
            exit: session.exit.unwrap_or(Exit::from_status(0)),
            last_line: last_line.unwrap_or_default(),
        };
        match &self.errand {
            Some(Errand::Identity(_)) => self.hook_ended(&ended),
            Some(Errand::Warm(_)) => self.warm_ended(),
            None => {}
        }
    }

    /// What a hook has left running (a daemon that it restarted) is the workload's: it freezes and ends with it.
    fn keep_what_it_left(&self) {
        let Some(errands) = self.errands.as_ref().filter(|group| group.processes() > 0) else {
            return;
        };
        let handed = self.root_workload().map(|workload| {
            let inner = workload.inner_cgroup();
            let own = workload.cgroup.directory();
            errands.hand_over(inner.as_ref().map_or(own, OwnedFd::as_fd))
        });
        if !matches!(handed, Some(Ok(()))) {
            crate::kmsg::note("what a hook left running has no workload to join, and is ended");
            if let Err(error) = errands.kill_all() {
                crate::kmsg::fail(&format!("ending it failed: {error}"));
            }
        }
    }
}

fn busy(what: &str) -> WireError {
    WireError::new(Code::Conflict, what)
}
