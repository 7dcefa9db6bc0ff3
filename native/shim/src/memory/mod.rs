//! The guest's RAM, read from and written to the VMM: docs/saved-state.md says why, docs/shim.md what is asked.

mod batch;
mod compare;
mod copy;
mod crew;
mod delta;
mod delta_file;
mod fingerprint;
mod range;
mod seen;
mod sparse;
mod target;
mod walk;
mod worker;

pub mod digest;

pub use worker::Memory;

use crate::control::Request;
use crate::failure::Failure;
use range::Range;
use seen::Seen;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use target::Target;

/// Set once the VMM has ended.
#[derive(Clone, Default)]
pub struct Watch(Arc<AtomicBool>);

impl Watch {
    fn check(&self) -> Result<(), Failure> {
        if self.0.load(Ordering::Relaxed) {
            return Err(target::ended());
        }
        Ok(())
    }

    fn end(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub enum Task {
    Copy(copy::Copy),
    Update(copy::Update),
    Differ(delta::Differ),
    Delta(delta::Delta),
    Apply(delta::Apply),
    Digest(digest::Files),
}

impl Task {
    /// None where the request is about something else.
    pub fn of(request: &Request) -> Option<Result<Task, Failure>> {
        Some(match request.method.as_str() {
            "memory_copy" => request.parameters().map(Task::Copy),
            "memory_update" => request.parameters().map(Task::Update),
            "memory_differ" => request.parameters().map(Task::Differ),
            "memory_delta" => request.parameters().map(Task::Delta),
            "memory_apply" => request.parameters().map(Task::Apply),
            "memory_digest" => request.parameters().map(Task::Digest),
            _ => return None,
        })
    }

    fn run(&self, pid: i32, seen: &mut Seen, watch: &Watch) -> Result<Value, Failure> {
        match self {
            Task::Copy(task) => copy::copy(task, &target_of(pid, &task.range, seen)?, seen, watch),
            Task::Update(task) => {
                copy::update(task, &target_of(pid, &task.range, seen)?, seen, watch)
            }
            Task::Differ(task) => {
                delta::differ(task, &target_of(pid, &task.range, seen)?, seen, watch)
            }
            Task::Delta(task) => {
                delta::delta(task, &target_of(pid, &task.range, seen)?, seen, watch)
            }
            Task::Apply(task) => delta::apply(task, &target_of(pid, &task.range, seen)?, watch),
            Task::Digest(task) => digest::digests(task, watch),
        }
    }
}

fn target_of(pid: i32, range: &Range, seen: &mut Seen) -> Result<Target, Failure> {
    let target = Target::open(pid, range)?;
    seen.of(target.address, target.pages);
    Ok(target)
}
