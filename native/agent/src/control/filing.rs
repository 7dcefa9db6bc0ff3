//! `fs.*`: single steps on files, and watches.

use super::jobs::Outcome;
use super::stillness::Writing;
use super::Agent;
use crate::access::guest_error;
use crate::fs::watch::{Told, Watch};
use crate::fs::{self, Step};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use viv_protocol::{Code, Fields, Kind, Value, WireError};

/// Watches of one host at a time.
const MOST_WATCHES: usize = 64;
/// Bytes that may wait for the port before a watch is asked for more.
const AHEAD: usize = 64 * 1024;

impl Agent {
    /// False where there is no such method.
    pub(super) fn file_step(&mut self, stream: u32, method: &str, fields: &Fields<'_>) -> bool {
        let Some(step) = fs::step(method, fields) else {
            return false;
        };
        let root = fields
            .text("target")
            .and_then(|target| self.targets.root(target));
        let ready: Result<(Arc<OwnedFd>, Step), WireError> =
            step.and_then(|step| root.map(|root| (root, step)));
        match ready {
            Ok((root, step)) => {
                let writing = Writing::begin();
                self.spawn_job(stream, move || {
                    let _until_it_is_done = writing;
                    fs::run(&root, step)
                })
            }
            Err(error) => self.link.respond(stream, &Err(error)),
        }
        true
    }

    pub(super) fn watch(&mut self, stream: u32, fields: &Fields<'_>) {
        match self.begin_watch(stream, fields) {
            Ok(watch) => drop(self.watches.insert(stream, watch)),
            Err(error) => self.link.respond(stream, &Err(error)),
        }
    }

    fn begin_watch(&self, stream: u32, fields: &Fields<'_>) -> Result<Watch, WireError> {
        if self.watches.len() >= MOST_WATCHES {
            return Err(WireError::new(
                Code::Conflict,
                format!("there are {MOST_WATCHES} watches; end some"),
            ));
        }
        let root = self.targets.root(fields.text("target")?)?;
        let path = fields.text("path")?.to_owned();
        let recursive = fields.flag_if("recursive")?.unwrap_or(false);
        let tell = self.jobs.teller(self.conversation, stream);
        Watch::start(root, path, recursive, move |told| {
            tell(Outcome::Watched(told))
        })
        .map_err(|error| guest_error("a watch", &error))
    }

    pub(super) fn watched(&mut self, conversation: u64, stream: u32, told: Told) {
        // One of an earlier conversation has ended with it.
        if conversation != self.conversation {
            return;
        }
        let Some(watch) = self.watches.get_mut(&stream) else {
            return;
        };
        match told {
            Told::Began => self.link.respond(stream, &Ok(Value::Map(Vec::new()))),
            Told::Changes(event) => {
                watch.took();
                self.link.send(Kind::Event, 0, stream, &event.encode());
            }
            Told::Refused(error) => {
                self.watches.remove(&stream);
                self.link.respond(stream, &Err(error));
            }
            Told::Over(error) => {
                self.watches.remove(&stream);
                self.link.reset(stream, &error);
            }
        }
    }

    /// Watches wait while the host does not read.
    pub(super) fn serve_watches(&mut self) {
        if self.link.out.len() < AHEAD {
            self.watches.values_mut().for_each(Watch::go_on);
        }
    }
}
