//! The loop that runs for as long as the VMM does, and what comes after.

use crate::console::Console;
use crate::control::Control;
use crate::descriptors::set_nonblocking;
use crate::guard::Guard;
use crate::identity::Identity;
use crate::logs::{CappedLog, RotatingLog};
use crate::memory::Memory;
use crate::ports::Port;
use crate::relay::{Relay, Side};
use crate::vmm::{self, Streams};
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::process::ExitCode;

pub struct Logs {
    pub console: RotatingLog,
    pub app: RotatingLog,
    pub vmm: CappedLog,
}

pub struct Supervisor {
    /// What `shim.json` says.
    pub record: Value,
    pub vmm: Identity,
    pub streams: Streams,
    pub logs: Logs,
    pub ports: Vec<Port>,
    pub signals: OwnedFd,
    pub control_listener: UnixListener,
    pub console_listener: UnixListener,
    /// Files of the VMM's to unlink when it has ended.
    pub remove: Vec<String>,
    /// The VMM ends when the launcher closes our stdin.
    pub watch_stdin: bool,
    pub control: Control,
    pub console: Console,
    pub relay: Relay,
    /// Nobody is let in through a published port: whoever comes waits in the kernel.
    pub held: bool,
    /// The ports outlive the VMM; for so long somebody who comes may wait, in milliseconds.
    pub keep_ports: Option<u64>,
    pub memory: Memory,
    pub guard: Guard,
    /// Held until the process ends.
    pub lock: File,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Source {
    Signals,
    Stdin,
    Console,
    Log,
    Output,
    Memory,
    ControlListener,
    ConsoleListener,
    Control(u64),
    ConsoleClient(u64),
    Port(usize),
    Relay(u64, Side),
}

/// Which of the VMM's outputs have come to their end.
#[derive(Default)]
pub struct Ended {
    pub console: bool,
    pub log: bool,
    pub output: bool,
}

impl Supervisor {
    pub fn run(mut self) -> ExitCode {
        set_nonblocking(self.streams.console.as_raw_fd());
        set_nonblocking(self.streams.log.as_raw_fd());
        set_nonblocking(self.streams.output.as_raw_fd());
        let mut scratch = vec![0u8; 32 * 1024];
        let mut ended = Ended::default();
        while !self.has_ended() {
            let timeout = sooner(self.guard.timeout_ms(), self.relay.timeout_ms());
            for (source, events) in poll(&self.sources(&ended), timeout) {
                self.service(source, events, &mut ended, &mut scratch);
            }
            self.guard.look(|client| self.control.has(client));
        }
        // Whatever else is in its group holds its outputs open.
        vmm::kill_group(self.vmm.pid);
        // Before its number may become another's.
        self.answer_memory(true);
        let status = self.reap(self.vmm.pid);
        self.drain(&mut ended, &mut scratch);
        self.finish(status)
    }

    fn sources(&self, ended: &Ended) -> Vec<(Source, RawFd, i16)> {
        let read = libc::POLLIN;
        let mut sources = vec![(Source::Signals, self.signals.as_raw_fd(), read)];
        if self.watch_stdin {
            sources.push((Source::Stdin, 0, read));
        }
        if !ended.console {
            let write = if self.console.has_input() {
                libc::POLLOUT
            } else {
                0
            };
            sources.push((
                Source::Console,
                self.streams.console.as_raw_fd(),
                read | write,
            ));
        }
        if !ended.log {
            sources.push((Source::Log, self.streams.log.as_raw_fd(), read));
        }
        if !ended.output {
            sources.push((Source::Output, self.streams.output.as_raw_fd(), read));
        }
        sources.extend(self.memory.interest().map(|fd| (Source::Memory, fd, read)));
        if !self.control.is_full() {
            sources.push((
                Source::ControlListener,
                self.control_listener.as_raw_fd(),
                read,
            ));
        }
        if !self.console.is_full() {
            sources.push((
                Source::ConsoleListener,
                self.console_listener.as_raw_fd(),
                read,
            ));
        }
        sources.extend(
            self.control
                .interests()
                .map(|(id, fd, events)| (Source::Control(id), fd, events)),
        );
        sources.extend(
            self.console
                .interests()
                .map(|(id, fd, events)| (Source::ConsoleClient(id), fd, events)),
        );
        if !self.held && !self.relay.is_full() {
            let ports = self.ports.iter().enumerate();
            sources.extend(
                ports.map(|(index, port)| (Source::Port(index), port.listener.as_raw_fd(), read)),
            );
        }
        self.relay
            .interests(|id, side, fd, events| sources.push((Source::Relay(id, side), fd, events)));
        sources
    }

    fn service(&mut self, source: Source, events: i16, ended: &mut Ended, scratch: &mut [u8]) {
        match source {
            Source::Signals => self.take_signals(),
            Source::Stdin => self.read_stdin(scratch),
            Source::Console | Source::Log | Source::Output => {
                self.read_output(source, ended, scratch)
            }
            Source::Memory => self.answer_memory(false),
            Source::ControlListener => {
                if let Ok((stream, _)) = self.control_listener.accept() {
                    let _ = self.control.add(stream);
                }
            }
            Source::ConsoleListener => {
                if let Ok((stream, _)) = self.console_listener.accept() {
                    let _ = self.console.add(stream);
                }
            }
            Source::Control(id) => {
                for request in self.control.service(id, scratch) {
                    self.obey(id, &request);
                }
            }
            Source::ConsoleClient(id) => {
                self.console.service(id, events, scratch);
                self.console.feed(&mut self.streams.console);
            }
            Source::Port(index) => {
                // The list may have changed since it was polled, and a request before this one may hold the ports.
                if self.held {
                    return;
                }
                if let Some(port) = self.ports.get(index) {
                    if let Ok((stream, _)) = port.listener.accept() {
                        self.relay.accept(stream, port.published);
                    }
                }
            }
            Source::Relay(id, side) => self.relay.service(id, side, events, scratch),
        }
    }

    pub fn read_output(&mut self, source: Source, ended: &mut Ended, scratch: &mut [u8]) {
        let read = match source {
            Source::Console => {
                self.console.feed(&mut self.streams.console);
                self.streams.console.read(scratch)
            }
            Source::Log => self.streams.log.read(scratch),
            _ => self.streams.output.read(scratch),
        };
        let bytes = match read {
            Ok(0) => &[],
            Ok(n) => &scratch[..n],
            Err(error) if crate::console::would_block(&error) => return,
            Err(_) => &[],
        };
        let over = bytes.is_empty();
        match source {
            Source::Console => {
                ended.console = over;
                self.logs.console.write(bytes);
                self.console.broadcast(bytes);
            }
            Source::Log => {
                ended.log = over;
                self.logs.app.write(bytes);
            }
            _ => {
                ended.output = over;
                self.logs.vmm.write(bytes);
            }
        }
    }

    fn take_signals(&mut self) {
        let mut terminate = false;
        loop {
            // SAFETY: the kernel writes whole records into the struct it is given.
            let (read, record) = unsafe {
                let mut record: libc::signalfd_siginfo = std::mem::zeroed();
                let size = std::mem::size_of_val(&record);
                let read = libc::read(self.signals.as_raw_fd(), (&raw mut record).cast(), size);
                (read, record)
            };
            if read <= 0 {
                break;
            }
            terminate |= [libc::SIGTERM, libc::SIGINT].contains(&(record.ssi_signo as i32));
        }
        if terminate {
            vmm::kill_group(self.vmm.pid);
        }
    }

    fn read_stdin(&mut self, scratch: &mut [u8]) {
        // SAFETY: reads into a buffer of that length.
        let read = unsafe { libc::read(0, scratch.as_mut_ptr().cast(), scratch.len()) };
        if read <= 0 {
            self.watch_stdin = false;
            vmm::kill_group(self.vmm.pid);
        }
    }

    /// True once the VMM has ended. It stays a zombie, so that its number is still its own; orphans that became ours
    /// are reaped on the way.
    fn has_ended(&self) -> bool {
        loop {
            // SAFETY: waitid fills the struct, which is zero where no child has ended.
            let pid = unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
                if libc::waitid(libc::P_ALL, 0, &mut info, options) == 0 {
                    info.si_pid()
                } else {
                    0
                }
            };
            if pid == 0 || pid == self.vmm.pid {
                return pid != 0;
            }
            self.reap(pid);
        }
    }

    fn reap(&self, pid: i32) -> i32 {
        let mut status = 0;
        // SAFETY: waitpid writes the status.
        unsafe { libc::waitpid(pid, &mut status, 0) };
        status
    }
}

/// Of two time-outs as `poll` has them: negative is none.
fn sooner(a: i32, b: i32) -> i32 {
    match (a < 0, b < 0) {
        (true, _) => b,
        (_, true) => a,
        _ => a.min(b),
    }
}

/// Those that are ready, with their events. An interrupted wait is an empty answer.
pub fn poll<T: Copy>(sources: &[(T, RawFd, i16)], timeout_ms: i32) -> Vec<(T, i16)> {
    let mut polled: Vec<libc::pollfd> = sources
        .iter()
        .map(|(_, fd, events)| libc::pollfd {
            fd: *fd,
            events: *events,
            revents: 0,
        })
        .collect();
    // SAFETY: the array and its length belong together.
    let ready = unsafe {
        libc::poll(
            polled.as_mut_ptr(),
            polled.len() as libc::nfds_t,
            timeout_ms,
        )
    };
    if ready <= 0 {
        return Vec::new();
    }
    sources
        .iter()
        .zip(&polled)
        .filter(|(_, p)| p.revents != 0)
        .map(|((s, _, _), p)| (*s, p.revents))
        .collect()
}
