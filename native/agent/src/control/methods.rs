//! The methods of the control port: one table, then each in turn.

use super::sessions::no_such_output;
use super::Agent;
use crate::access::guest_error;
use crate::cgroup::Cgroup;
use crate::configure::{self, Config};
use crate::exec::{self, Request, Size, Surroundings};
use crate::session::{kill_session, Session};
use crate::spawn::{Namespaces, Place};
use crate::{clock, files, signals, stats};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use viv_protocol::{Code, Fields, Value, WireError};

pub(super) type Answer = Result<Value, WireError>;

/// Sessions, running and finished, that are kept at a time.
const MOST_SESSIONS: usize = 4096;

pub(super) fn nothing() -> Answer {
    Ok(Value::Map(Vec::new()))
}

/// Of the answer to who is told what time is to be counted by.
pub(super) fn clock_told(source: String) -> (&'static str, Value) {
    ("clockSource", source.into())
}

fn set_clock(fields: &Fields<'_>) -> Answer {
    clock::set(fields.uint("clockNanos")?).map_err(|error| guest_error("clock", &error))?;
    nothing()
}

impl Agent {
    pub(super) fn request(&mut self, stream: u32, method: &str, parameters: &Value) {
        let fields = Fields(parameters);
        match self.in_its_turn(stream, method, parameters) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return self.link.respond(stream, &Err(error)),
        }
        self.no_longer_still(method);
        let answer = match method {
            "ping" => nothing(),
            "configure" => self.configure(&fields),
            "identity" => return self.identity(stream, &fields),
            "warm" => return self.warm(stream, &fields),
            "clock" => set_clock(&fields),
            "workload.start" => self.workload_start(&fields),
            "workload.status" => self.workload_status(&fields),
            "workload.signal" => self.workload_signal(&fields),
            "freeze" => return self.freeze(stream, &fields),
            "thaw" => return self.thaw(stream, &fields),
            "exec.start" => self.exec_start(stream, &fields),
            "exec.attach" => self.exec_attach(stream, &fields),
            "exec.signal" => self.exec_signal(&fields),
            "exec.resize" => self.exec_resize(&fields),
            "exec.list" => self.exec_list(&fields),
            "exec.read" => self.exec_read(&fields),
            "exec.wait" => match self.exec_wait(stream, &fields) {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            "exec.close" => self.exec_close(&fields),
            "fs.watch" => return self.watch(stream, &fields),
            "stat" => self.stat(&fields),
            "stats" => return self.spawn_stats(stream),
            "fs.grow" => return self.grow(stream),
            "volume.mount" | "volume.unmount" | "volume.grow" => {
                return self.volume(stream, method, &fields)
            }
            "volume.list" => Ok(self.volumes.list()),
            "sync" => return self.spawn_job(stream, sync_all),
            "shutdown" => self.shutdown_asked(&fields),
            _ if self.file_step(stream, method, &fields) => return,
            _ => Err(WireError::new(
                Code::NotSupported,
                format!("this agent knows no method {method}"),
            )),
        };
        self.link.respond(stream, &answer);
    }

    fn configure(&mut self, fields: &Fields<'_>) -> Answer {
        if self.configured.is_some() {
            return Err(WireError::new(
                Code::Conflict,
                "this guest has been configured before",
            ));
        }
        let config = Config::read(fields)?;
        let told = config.identity.choose_clock().map(clock_told);
        let (configured, stages) = configure::run(&config)?;
        self.configured = Some(configured);
        let stages = ("stages", Value::Array(stages));
        Ok(Value::map([stages].into_iter().chain(told).collect()))
    }

    fn exec_start(&mut self, stream: u32, fields: &Fields<'_>) -> Answer {
        let (exec_id, target) = (fields.text("execId")?, fields.text("target")?);
        if self.session_number(exec_id).is_ok() {
            return Err(WireError::new(
                Code::Conflict,
                format!("there is a session {exec_id} already"),
            ));
        }
        if self.sessions.len() >= MOST_SESSIONS {
            return Err(WireError::new(
                Code::Conflict,
                format!("there are {MOST_SESSIONS} sessions; close some"),
            ));
        }
        let mut request = exec_request(exec_id, target, fields)?;
        let root = self.targets.root(target)?;
        let null = self.null.as_fd();
        let session = if target == "vm" {
            if self.vm_frozen {
                return Err(WireError::new(Code::Conflict, "the guest is frozen"));
            }
            let cgroup = Cgroup::beside_once(&mut self.vm_cgroup, "vm")
                .map_err(|error| guest_error("cgroup", &error))?;
            let around = Surroundings {
                root: root.as_fd(),
                place: Place::Agent,
                cgroup: Some(cgroup.directory()),
                env: &Vec::new(),
                null,
            };
            exec::start(&mut self.spawner, request, around)?
        } else {
            let unknown =
                || WireError::new(Code::NotFound, format!("there is no workload {target}"));
            let workload = self.workloads.get(target).ok_or_else(unknown)?;
            workload.open_for_exec()?;
            fill(&mut request.cwd, &workload.cwd);
            fill(&mut request.user, &workload.user);
            let inner = (workload.pid == Some(workload.first))
                .then(|| workload.inner_cgroup())
                .flatten();
            let cgroup = inner
                .as_ref()
                .map_or(workload.cgroup.directory(), OwnedFd::as_fd);
            let place = Place::Inside(&workload.namespaces as &Namespaces);
            let around = Surroundings {
                root: root.as_fd(),
                place,
                cgroup: Some(cgroup),
                env: &workload.env,
                null,
            };
            exec::start(&mut self.spawner, request, around)?
        };
        let pid = session.pid;
        let number = self.add_session(session);
        self.attach_stream(number, stream, [None, None])?;
        Ok(Value::map(vec![("pid", Value::from(i64::from(pid)))]))
    }

    pub(super) fn add_session(&mut self, session: Session) -> u64 {
        let number = self.next_session;
        self.next_session += 1;
        self.pids.insert(session.pid, number);
        self.sessions.insert(number, session);
        number
    }

    fn attach_stream(
        &mut self,
        number: u64,
        stream: u32,
        from: [Option<u64>; 2],
    ) -> Result<(), WireError> {
        let Some(session) = self.sessions.get_mut(&number) else {
            return Ok(());
        };
        let before = session.stream;
        session.attach(stream, from)?;
        self.streams.insert(stream, number);
        if let Some(before) = before {
            self.streams.remove(&before);
            self.link.reset(
                before,
                &WireError::new(Code::Conflict, "another stream has taken the session over"),
            );
        }
        Ok(())
    }

    fn session_number(&self, exec_id: &str) -> Result<u64, WireError> {
        let found = self
            .sessions
            .iter()
            .find(|(_, session)| !session.errand && session.exec_id == exec_id);
        found
            .map(|(number, _)| *number)
            .ok_or_else(|| WireError::new(Code::NotFound, format!("there is no session {exec_id}")))
    }

    pub(super) fn session(
        &mut self,
        fields: &Fields<'_>,
    ) -> Result<(u64, &mut Session), WireError> {
        let exec_id = fields.text("execId")?;
        let missing = || WireError::new(Code::NotFound, format!("there is no session {exec_id}"));
        let found = self
            .sessions
            .iter_mut()
            .find(|(_, session)| !session.errand && session.exec_id == exec_id);
        found
            .map(|(number, session)| (*number, session))
            .ok_or_else(missing)
    }

    fn exec_attach(&mut self, stream: u32, fields: &Fields<'_>) -> Answer {
        let from = [fields.uint_if("stdout")?, fields.uint_if("stderr")?];
        let (number, _) = self.session(fields)?;
        self.attach_stream(number, stream, from)?;
        let (_, session) = self.session(fields)?;
        Ok(Value::map(vec![
            ("pid", Value::from(i64::from(session.pid))),
            ("stdin", session.input.received().into()),
            ("stdout", session.outputs[0].sent().into()),
            ("stderr", session.outputs[1].sent().into()),
            ("running", session.running().into()),
        ]))
    }

    fn exec_signal(&mut self, fields: &Fields<'_>) -> Answer {
        let signal = signal_of(fields)?;
        self.session(fields)?.1.signal(signal)?;
        nothing()
    }

    fn exec_resize(&mut self, fields: &Fields<'_>) -> Answer {
        let size = Size::read(fields)?;
        let (_, session) = self.session(fields)?;
        if let Some(terminal) = &session.terminal {
            size.apply(terminal.as_raw_fd())
                .map_err(|error| guest_error("resize", &error))?;
        } else if session.running() {
            return Err(WireError::new(
                Code::InvalidRequest,
                "the session has no terminal",
            ));
        }
        nothing()
    }

    fn exec_close(&mut self, fields: &Fields<'_>) -> Answer {
        let (number, session) = self.session(fields)?;
        if session.running() {
            kill_session(session.pid);
        }
        // A workload's own session is the record of its exit until the workload itself is gone.
        if session.logged {
            let stream = session.stream.take();
            stream.map(|stream| self.streams.remove(&stream));
            return nothing();
        }
        if let Some(session) = self.sessions.remove(&number) {
            if let Some(stream) = session.stream {
                self.streams.remove(&stream);
                if session.running() {
                    self.link.reset(
                        stream,
                        &WireError::new(Code::Cancelled, "the session was closed"),
                    );
                }
            }
        }
        nothing()
    }

    fn stat(&mut self, fields: &Fields<'_>) -> Answer {
        let root = self.targets.root(fields.text("target")?)?;
        files::stat(root.as_fd(), fields.text("path")?, fields.flag("follow")?)
    }

    fn spawn_stats(&mut self, stream: u32) {
        let cgroups: Vec<_> = self
            .workloads
            .values()
            .map(|workload| workload.cgroup.path().to_owned())
            .collect();
        let running = self
            .workloads
            .values()
            .filter(|workload| workload.exit.is_none());
        let own = running
            .filter(|workload| workload.pid != Some(workload.first))
            .count();
        let disks = self
            .configured
            .as_ref()
            .map(|configured| configured.disks.clone());
        self.spawn_job(stream, move || {
            stats::collect(&cgroups, own, disks.as_deref().unwrap_or(&[]))
        });
    }

    fn grow(&mut self, stream: u32) {
        match &self.configured {
            Some(configured) => {
                let disk = configured.root_disk.clone();
                self.spawn_job(stream, move || {
                    crate::disks::grow(&disk, Path::new(crate::disks::OVERLAY_DISK))
                        .map_err(|error| guest_error("grow", &error))
                        .and_then(|()| nothing())
                });
            }
            None => self.link.respond(
                stream,
                &Err(WireError::new(Code::Conflict, "there is no root yet")),
            ),
        }
    }

    fn shutdown_asked(&mut self, fields: &Fields<'_>) -> Answer {
        let grace = Duration::from_millis(fields.uint("graceMs")?.min(24 * 3600 * 1000));
        self.begin_shutdown(grace);
        nothing()
    }
}

fn exec_request(exec_id: &str, target: &str, fields: &Fields<'_>) -> Result<Request, WireError> {
    Ok(Request {
        exec_id: exec_id.to_owned(),
        target: target.to_owned(),
        argv: fields.texts("argv")?,
        env: fields.pairs("env")?,
        cwd: fields.text_if("cwd")?.unwrap_or("").to_owned(),
        user: fields.text_if("user")?.unwrap_or("").to_owned(),
        tty: fields
            .inner_if("tty")?
            .map(|tty| Size::read(&tty))
            .transpose()?,
        stdin: fields.flag("stdin")?,
        lossy: match fields.text_if("output")? {
            None | Some("retain") => false,
            Some("ring") => true,
            Some(_) => return Err(no_such_output()),
        },
    })
}

/// What the request leaves open is the workload's.
fn fill(field: &mut String, default: &str) {
    if field.is_empty() {
        default.clone_into(field);
    }
}

pub(super) fn signal_of(fields: &Fields<'_>) -> Result<i32, WireError> {
    let name = fields.text("signal")?;
    signals::number(name)
        .ok_or_else(|| WireError::new(Code::InvalidRequest, format!("there is no signal {name}")))
}

fn sync_all() -> Answer {
    // SAFETY: no arguments.
    unsafe { libc::sync() };
    nothing()
}
