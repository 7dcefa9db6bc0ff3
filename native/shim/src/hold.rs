//! `viv-shim hold DIR HOLDING`: holds the published ports of a machine that is suspended, and tells when somebody comes. It
//! accepts nobody: connections wait in the kernel, where the next shim of the directory finds them.

use crate::control::Control;
use crate::descriptors;
use crate::failure::Failure;
use crate::files::remove_if_there;
use crate::handover::{self, Holding, SOCKET};
use crate::launch::{Binding, PublishRequest};
use crate::ports::{self, Port};
use crate::start::listen;
use crate::supervisor::poll;
use serde_json::json;
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A directory that was deleted without a word to us is noticed after so long.
const LOOK_AROUND: Duration = Duration::from_secs(30);

#[derive(Clone, Copy)]
enum Source {
    Stdin,
    Listener,
    Client(u64),
    Port,
}

struct Holder {
    ports: Vec<Port>,
    listener: UnixListener,
    inode: u64,
    control: Control,
    /// Since when somebody waits.
    since: Option<Instant>,
    hold: Duration,
    watch_stdin: bool,
}

/// The ports, bound here where they were not left to us, and what to say about it.
pub fn main(dir: &Path, holding: &OsStr) -> Result<(), Failure> {
    let invalid = |why: String| Failure::new("invalid_request", why);
    let holding: Holding = serde_json::from_slice(holding.as_bytes())
        .map_err(|error| invalid(format!("what to hold: {error}")))?;
    let fresh = holding.inherited.is_none();
    if fresh {
        descriptors::sanitise(false)?;
    }
    std::env::set_current_dir(dir).map_err(|e| Failure::io(&dir.display().to_string(), &e))?;
    let (ports, listener) = match &holding.inherited {
        Some((fds, socket)) => {
            descriptors::close_on_exec(*socket);
            descriptors::set_nonblocking(*socket);
            // SAFETY: left open for us by whoever started this process.
            let listener = unsafe { UnixListener::from_raw_fd(*socket) };
            (handover::inherited(&holding.ports, fds), listener)
        }
        None => (bind(&holding)?, listen(SOCKET)?),
    };
    let inode = inode().ok_or_else(|| invalid(format!("{SOCKET} is not there")))?;
    if fresh {
        println!("{}", json!({"ok": true}));
        descriptors::let_go_of_launcher(false);
    }
    Holder {
        ports,
        listener,
        inode,
        control: Control::default(),
        since: None,
        hold: Duration::from_millis(holding.hold_ms),
        watch_stdin: !holding.detached,
    }
    .run();
    Ok(())
}

pub fn exit_code(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("{}", failure.announcement());
            ExitCode::FAILURE
        }
    }
}

fn bind(holding: &Holding) -> Result<Vec<Port>, Failure> {
    let requests: Vec<PublishRequest> = holding
        .ports
        .iter()
        .map(|port| PublishRequest {
            host_address: port.host_address,
            host_port: port.host_port,
            guest_port: port.guest_port,
            binding: Binding::Required,
        })
        .collect();
    ports::bind_all(&requests)
}

fn inode() -> Option<u64> {
    std::fs::symlink_metadata(SOCKET)
        .ok()
        .map(|file| file.ino())
}

impl Holder {
    fn run(mut self) {
        let mut scratch = vec![0u8; 4096];
        loop {
            let ready = poll(&self.sources(), self.timeout_ms());
            if ready.is_empty() && inode() != Some(self.inode) {
                return; // nobody can find us any more
            }
            for (source, _) in ready {
                if self.service(source, &mut scratch) {
                    return;
                }
            }
            if self.since.is_some_and(|since| since.elapsed() >= self.hold) {
                self.send_away();
            }
        }
    }

    fn sources(&self) -> Vec<(Source, i32, i16)> {
        let read = libc::POLLIN;
        let mut sources = vec![(Source::Listener, self.listener.as_raw_fd(), read)];
        if self.watch_stdin {
            sources.push((Source::Stdin, 0, read));
        }
        sources.extend(
            self.control
                .interests()
                .map(|(id, fd, events)| (Source::Client(id), fd, events)),
        );
        // Who waits is told of once.
        if self.since.is_none() {
            let fds = self.ports.iter().map(|port| port.listener.as_raw_fd());
            sources.extend(fds.map(|fd| (Source::Port, fd, read)));
        }
        sources
    }

    fn timeout_ms(&self) -> i32 {
        let left = self.since.map_or(LOOK_AROUND, |since| {
            self.hold.saturating_sub(since.elapsed()).min(LOOK_AROUND)
        });
        left.as_millis() as i32 + 1
    }

    /// True when this is the end.
    fn service(&mut self, source: Source, scratch: &mut [u8]) -> bool {
        match source {
            Source::Stdin => return true,
            Source::Listener => {
                if let Ok((stream, _)) = self.listener.accept() {
                    let _ = self.control.add(stream);
                }
            }
            Source::Port => {
                if self.since.is_none() {
                    self.since = Some(Instant::now());
                    self.control.broadcast(&json!({"event": "traffic"}));
                }
            }
            Source::Client(id) => {
                for request in self.control.service(id, scratch) {
                    if self.obey(id, &request) {
                        return true;
                    }
                }
            }
        }
        false
    }

    fn obey(&mut self, client: u64, request: &crate::control::Request) -> bool {
        let mut over = false;
        match request.method.as_str() {
            "watch" => {
                self.control.subscribe(client);
                self.control.answer(client, request.id, Ok(json!({})));
                if self.since.is_some() {
                    self.control.broadcast(&json!({"event": "traffic"}));
                }
                return false;
            }
            "take" => {
                // Before the ports are gone: the next holder's socket is not ours to remove.
                let _ = remove_if_there(SOCKET);
                self.control.with_stream(client, |stream| {
                    handover::give(stream, request.id, &self.ports)
                });
                return true;
            }
            "drop" => self.send_away(),
            "close" => {
                let _ = remove_if_there(SOCKET);
                over = true;
            }
            other => {
                let refusal = Failure::new("invalid_request", format!("no method {other:?}"));
                self.control.answer(client, request.id, Err(refusal));
                return false;
            }
        }
        self.control.answer(client, request.id, Ok(json!({})));
        over
    }

    /// Whoever waits now learns that nobody comes.
    fn send_away(&mut self) {
        for port in &self.ports {
            while port.listener.accept().is_ok() {}
        }
        self.since = None;
    }
}
