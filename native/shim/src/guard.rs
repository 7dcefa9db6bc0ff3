//! A guest that was stopped for an instant runs again, whatever becomes of whoever stopped it.

use crate::failure::Failure;
use serde::Deserialize;
use serde_json::{json, Value};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

const STACK: usize = 64 * 1024;
const MOST_SECONDS: u64 = 600;

#[derive(Deserialize)]
pub struct Wanted {
    seconds: u64,
    /// A QMP socket in the directory, at which nobody else speaks.
    socket: String,
}

struct Held {
    client: u64,
    until: Instant,
    /// Connected before anything is stopped: who could not be helped is not stopped.
    vmm: UnixStream,
}

#[derive(Default)]
pub struct Guard {
    held: Option<Held>,
    rescue: Option<JoinHandle<()>>,
}

impl Guard {
    /// From now on, or for that long again.
    pub fn hold(&mut self, client: u64, wanted: &Wanted) -> Result<(), Failure> {
        let invalid = |why: &str| Err(Failure::new("invalid_request", why));
        if !(1..=MOST_SECONDS).contains(&wanted.seconds) {
            return invalid("seconds is 1 to 600");
        }
        if wanted.socket.is_empty() || wanted.socket.contains('/') {
            return invalid("socket is no name of a file in the directory");
        }
        let until = Instant::now() + Duration::from_secs(wanted.seconds);
        let busy = self.is_busy();
        match &mut self.held {
            Some(held) if held.client == client => held.until = until,
            Some(_) => return Err(Failure::new("conflict", "another client holds the guard")),
            None if busy => {
                return Err(Failure::new("busy", "the VMM is just being told to go on"))
            }
            None => {
                let vmm = UnixStream::connect(&wanted.socket)
                    .map_err(|error| Failure::io(&wanted.socket, &error))?;
                self.held = Some(Held { client, until, vmm });
            }
        }
        Ok(())
    }

    /// A `conflict` says that the guest was let run, or could have been.
    pub fn release(&mut self, client: u64) -> Result<(), Failure> {
        match self.held.take_if(|held| held.client == client) {
            Some(_) => Ok(()),
            None => Err(Failure::new("conflict", "this client holds no guard")),
        }
    }

    /// Lets the guest run where its holder has gone, or was not heard of in time.
    pub fn look(&mut self, is_there: impl Fn(u64) -> bool) {
        let over = |held: &mut Held| !is_there(held.client) || Instant::now() >= held.until;
        if let Some(Held { vmm, .. }) = self.held.take_if(over) {
            // Where there is no thread to be had, the next daemon does it.
            self.rescue = Builder::new()
                .stack_size(STACK)
                .spawn(move || {
                    let _ = go_on(&vmm);
                })
                .ok();
        }
    }

    /// For `poll`: until it has to be looked at.
    pub fn timeout_ms(&self) -> i32 {
        self.held.as_ref().map_or(-1, |held| {
            let left = held.until.saturating_duration_since(Instant::now());
            i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX)
        })
    }

    fn is_busy(&self) -> bool {
        self.rescue
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }
}

/// All the QMP that the shim speaks. A VMM that does not answer is waited for, until it or the shim ends.
fn go_on(vmm: &UnixStream) -> io::Result<()> {
    let mut lines = BufReader::new(vmm).lines();
    let mut writer = vmm;
    // The greeting is no answer, and neither is an event.
    for command in ["qmp_capabilities", "cont"] {
        writeln!(writer, "{}", json!({"execute": command}))?;
        loop {
            let line = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
            let answer: Value = serde_json::from_str(&line)?;
            if answer.get("return").is_some() || answer.get("error").is_some() {
                break;
            }
        }
    }
    Ok(())
}
