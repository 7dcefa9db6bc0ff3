//! Workloads from the host's side: start, status, signals, freezing, and the end of them all.

use super::methods::{nothing, signal_of, Answer};
use super::{Agent, Timer};
use crate::access::guest_error;
use crate::cgroup;
use crate::exec::{Request, Size};
use crate::shutdown::{self, Shutdown};
use crate::sys;
use crate::workload::{self, Ground, Workload};
use std::os::fd::AsFd;
use std::time::Duration;
use viv_protocol::{Code, Fields, Value, WireError};

/// After SIGKILL: how often it is looked whether all are gone, and how often at most.
const OFF_EVERY: Duration = Duration::from_millis(20);
const OFF_LOOKS: u32 = 250;

impl Agent {
    pub(super) fn workload_start(&mut self, fields: &Fields<'_>) -> Answer {
        let id = fields.text("id")?;
        if self.configured.is_none() {
            return Err(WireError::new(
                Code::Conflict,
                "the guest has not been configured",
            ));
        }
        if id != "root" {
            return Err(WireError::new(
                Code::NotSupported,
                "only the root workload has a root file system",
            ));
        }
        if self.shutdown.is_some()
            || self
                .workloads
                .get(id)
                .is_some_and(|workload| workload.exit.is_none())
        {
            return Err(WireError::new(
                Code::Conflict,
                format!("the workload {id} runs already, or the guest is going down"),
            ));
        }
        let request = workload_request(id, fields)?;
        let exec_id = request.exec_id.clone();
        let stop_signal = workload::stop_signal(fields.text_if("stopSignal")?, &request.argv)?;
        self.sessions
            .retain(|_, session| session.exec_id != exec_id);
        let ground = Ground {
            spawner: &mut self.spawner,
            targets: &self.targets,
            null: self.null.as_fd(),
            prepared: self.prepared.take(),
        };
        let (workload, session) = workload::start(ground, request, stop_signal)?;
        let pid = workload.main_pid();
        self.workloads.insert(id.to_owned(), workload);
        if let Some(mut session) = session {
            session.logged = true;
            self.add_session(session);
        }
        Ok(Value::map(vec![
            ("pid", Value::from(i64::from(pid))),
            ("execId", exec_id.into()),
        ]))
    }

    fn workload(&self, fields: &Fields<'_>) -> Result<&Workload, WireError> {
        let id = fields.text("id")?;
        self.workloads
            .get(id)
            .ok_or_else(|| WireError::new(Code::NotFound, format!("there is no workload {id}")))
    }

    pub(super) fn workload_status(&self, fields: &Fields<'_>) -> Answer {
        let workload = self.workload(fields)?;
        let mut status = vec![("running", Value::from(workload.exit.is_none()))];
        match &workload.exit {
            None => status.push(("pid", i64::from(workload.main_pid()).into())),
            Some(exit) => status.push(("exit", Value::map(exit.fields(true)))),
        }
        Ok(Value::map(status))
    }

    pub(super) fn workload_signal(&self, fields: &Fields<'_>) -> Answer {
        let signal = signal_of(fields)?;
        let workload = self.workload(fields)?;
        if workload.exit.is_some() {
            return Err(WireError::new(
                Code::Conflict,
                format!("the workload {} has ended already", workload.id),
            ));
        }
        sys::kill(workload.main_pid(), signal).map_err(|error| guest_error("signal", &error))?;
        nothing()
    }

    /// Once begun, a later call can only shorten the grace.
    pub(super) fn begin_shutdown(&mut self, grace: Duration) {
        if self.shutdown.is_none() {
            self.shutdown = Some(Shutdown::default());
            if let Some(prepared) = self.prepared.take() {
                prepared.give_up();
            }
            for workload in self
                .workloads
                .values()
                .filter(|workload| workload.exit.is_none())
            {
                // One that is frozen could not even hear it.
                let _dead_is_fine = workload.cgroup.freezer().thaw();
                let _dead_is_fine = sys::kill(workload.main_pid(), workload.stop_signal);
                if workload.pid.is_none() {
                    workload.end_rest();
                }
            }
        }
        self.set_timer(grace, Timer::Grace);
        self.set_timer(Duration::ZERO, Timer::Off);
    }

    /// The grace is over.
    pub(super) fn kill_workloads(&mut self) {
        for workload in self.workloads.values() {
            if let Err(error) = workload.cgroup.kill_all() {
                crate::kmsg::fail(&format!("cgroup.kill of {}: {error}", workload.id));
            }
        }
        if let Some(Err(error)) = self.errands.as_ref().map(cgroup::Cgroup::kill_all) {
            crate::kmsg::fail(&format!("cgroup.kill of hooks: {error}"));
        }
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.killed = true;
        }
        self.set_timer(Duration::ZERO, Timer::Off);
    }

    /// Powers off once nothing runs any more and the last words have left.
    pub(super) fn try_off(&mut self) {
        let Some(shutdown) = &mut self.shutdown else {
            return;
        };
        let commands_gone = self
            .workloads
            .values()
            .all(|workload| workload.exit.is_some());
        if commands_gone && !shutdown.killed {
            return self.kill_workloads();
        }
        if shutdown.killed {
            shutdown.looks += 1;
            let gone = commands_gone
                && self
                    .workloads
                    .values()
                    .all(|workload| workload.cgroup.processes() == 0);
            let patient = shutdown.looks < OFF_LOOKS;
            let told = self.link.out.is_empty() || !self.link.connected();
            if gone {
                self.log_exits();
            }
            if !patient || (gone && told && self.log.is_drained()) {
                self.log_exits();
                self.off();
            }
            self.set_timer(OFF_EVERY, Timer::Off);
        }
    }

    fn off(&mut self) -> ! {
        self.workloads.clear();
        self.sessions.clear();
        self.orphans.clear();
        self.targets.clear();
        self.stillness = None;
        self.retired.clear();
        shutdown::power_off()
    }
}

fn workload_request(id: &str, fields: &Fields<'_>) -> Result<Request, WireError> {
    let choice = |key: &str, yes: &str, no: &str| match fields.text(key)? {
        text if text == yes => Ok(true),
        text if text == no => Ok(false),
        _ => Err(WireError::new(
            Code::InvalidRequest,
            format!("the field {key} is neither {yes} nor {no}"),
        )),
    };
    Ok(Request {
        exec_id: format!("workload:{id}"),
        target: id.to_owned(),
        argv: fields.texts("argv")?,
        env: fields.pairs("env")?,
        cwd: fields.text("cwd")?.to_owned(),
        user: fields.text("user")?.to_owned(),
        tty: fields
            .inner_if("tty")?
            .map(|tty| Size::read(&tty))
            .transpose()?,
        stdin: choice("stdin", "open", "null")?,
        lossy: choice("output", "ring", "retain")?,
    })
}
