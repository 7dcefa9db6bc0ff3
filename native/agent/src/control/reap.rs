//! The dead: who they were, how they ended, and who must be told.

use super::{Agent, Timer, ABANDONED_AFTER, LAST_CALL_AFTER};
use crate::session::Exit;
use crate::sys;
use std::os::fd::AsRawFd;
use viv_protocol::Value;

/// Finished sessions that are kept for a host that may come back for them.
const FINISHED_KEPT: usize = 64;

impl Agent {
    pub(super) fn reap(&mut self) {
        let _only_to_reset_it = sys::read(self.children.as_raw_fd(), &mut [0; 128 * 16]);
        loop {
            let mut status = 0;
            // SAFETY: room for the status.
            let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
            if pid <= 0 {
                break;
            }
            if let Some(number) = self.pids.remove(&pid) {
                self.process_ended(number, pid, Exit::from_status(status));
            }
            self.first_process_ended(pid, Exit::from_status(status));
            self.prepared_ended(pid);
        }
        if self.shutdown.is_some() {
            self.try_off();
        }
    }

    fn process_ended(&mut self, number: u64, pid: libc::pid_t, mut exit: Exit) {
        let Some(session) = self.sessions.get_mut(&number) else {
            return;
        };
        if let Some(workload) = self.workloads.get_mut(&session.target) {
            exit.oom = exit.signal == Some(libc::SIGKILL) && workload.cgroup.oom_since_last();
            if workload.pid == Some(pid) {
                workload.exit = Some(exit);
                workload.end_rest();
            }
        }
        session.exit = Some(exit);
        let target = session.target.clone();
        let first = self
            .workloads
            .get(&target)
            .is_some_and(|workload| workload.pid == Some(pid));
        if first {
            let mut fields = vec![
                ("e", Value::from("workload.exit")),
                ("id", target.as_str().into()),
            ];
            fields.extend(exit.fields(true));
            self.event(fields);
            if target == "root" && self.shutdown.is_none() {
                self.set_timer(ABANDONED_AFTER, Timer::Abandoned);
            }
        }
        if self
            .sessions
            .get(&number)
            .is_some_and(|session| session.finished())
        {
            self.session_finished(number);
        } else {
            self.drain(number);
            self.set_timer(LAST_CALL_AFTER, Timer::LastCall(number));
        }
    }

    /// A workload without a command ends with its first process.
    fn first_process_ended(&mut self, pid: libc::pid_t, exit: Exit) {
        let ended = self
            .workloads
            .values_mut()
            .find(|workload| workload.first == pid && workload.exit.is_none());
        if let Some(workload) = ended.filter(|workload| workload.pid.is_none()) {
            workload.exit = Some(exit);
            let mut fields = vec![
                ("e", Value::from("workload.exit")),
                ("id", workload.id.as_str().into()),
            ];
            fields.extend(exit.fields(true));
            self.event(fields);
        }
    }

    /// Reads what is there already, so that most exits need no waiting.
    pub(super) fn drain(&mut self, number: u64) {
        for channel in [1u8, 2] {
            loop {
                let index = usize::from(channel) - 1;
                let Some(before) = self
                    .sessions
                    .get(&number)
                    .map(|session| session.outputs[index].end())
                else {
                    return;
                };
                self.collect(number, channel);
                let more = self
                    .sessions
                    .get(&number)
                    .is_some_and(|session| session.outputs[index].end() > before);
                if !more || self.log.full() {
                    break;
                }
            }
        }
    }

    pub(super) fn call_last(&mut self, number: u64) {
        if let Some(session) = self.sessions.get_mut(&number) {
            session
                .outputs
                .iter_mut()
                .for_each(crate::session::Output::call_last);
            self.drain(number);
            // What is left waits for its reader, or for the log; look again.
            if self
                .sessions
                .get(&number)
                .is_some_and(|session| !session.finished())
            {
                self.set_timer(LAST_CALL_AFTER, Timer::LastCall(number));
            }
        }
    }

    /// The process is dead and everything that it printed has been read.
    pub(super) fn session_finished(&mut self, number: u64) {
        self.timers
            .retain(|(_, timer)| *timer != Timer::LastCall(number));
        if self
            .sessions
            .get(&number)
            .is_some_and(|session| session.errand)
        {
            return self.errand_finished(number);
        }
        self.log_exit(number);
        let finished: Vec<u64> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.finished())
            .map(|(key, _)| *key)
            .collect();
        if let Some(excess) = finished.len().checked_sub(FINISHED_KEPT) {
            let unread = |key: &&u64| {
                self.sessions
                    .get(*key)
                    .is_some_and(|session| session.stream.is_none())
            };
            let oldest: Vec<u64> = finished
                .iter()
                .filter(unread)
                .take(excess)
                .copied()
                .collect();
            for key in oldest {
                self.sessions.remove(&key);
            }
        }
    }

    /// The exit of a workload's command is the last line of its output.
    fn log_exit(&mut self, number: u64) {
        let Some(session) = self.sessions.get(&number).filter(|session| session.logged) else {
            return;
        };
        if let (Some(workload), Some(exit)) =
            (self.workloads.get_mut(&session.target), session.exit)
        {
            if !std::mem::replace(&mut workload.exit_logged, true) {
                self.log.exit(&session.target, &exit);
            }
        }
    }

    /// Before the power goes: exits whose output nobody has taken to its end.
    pub(super) fn log_exits(&mut self) {
        let logged: Vec<u64> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.logged)
            .map(|(key, _)| *key)
            .collect();
        for number in logged {
            self.log_exit(number);
        }
    }

    /// Nobody asked for a shutdown. While a host still takes output, it has not forgotten.
    pub(super) fn abandoned(&mut self) {
        let root = self.sessions.values().find(|session| session.logged);
        let being_read = root.is_some_and(|session| {
            session.stream.is_some() && !session.outputs.iter().all(crate::session::Output::settled)
        });
        if self
            .workloads
            .get("root")
            .is_none_or(|workload| workload.exit.is_none())
        {
            return;
        }
        if being_read && self.link.connected() {
            self.set_timer(ABANDONED_AFTER, Timer::Abandoned);
        } else {
            crate::kmsg::note("the root workload has ended and no host asks for anything");
            self.begin_shutdown(std::time::Duration::ZERO);
        }
    }
}
