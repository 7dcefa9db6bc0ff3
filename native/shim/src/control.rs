//! `shim.sock`: requests of the daemon, one JSON object a line. A client may send anything.

use crate::console::{would_block, write_some};
use crate::failure::Failure;
use crate::lines::Lines;
use serde::Deserialize;
use serde_json::{json, Value};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

pub const MAX_CLIENTS: usize = 64;
/// A client that lets more answers than this pile up is dropped.
const MAX_BEHIND: usize = 256 * 1024;

#[derive(Deserialize)]
pub struct Request {
    pub id: u64,
    pub method: String,
    #[serde(default)]
    params: Value,
}

impl Request {
    pub fn parameters<T: serde::de::DeserializeOwned>(&self) -> Result<T, Failure> {
        T::deserialize(&self.params)
            .map_err(|error| Failure::new("invalid_request", format!("{}: {error}", self.method)))
    }
}

struct Client {
    stream: UnixStream,
    lines: Lines,
    behind: VecDeque<u8>,
    subscribed: bool,
}

#[derive(Default)]
pub struct Control {
    clients: BTreeMap<u64, Client>,
    next: u64,
    /// Who waits for the VMM's end: client and request.
    killers: Vec<(u64, u64)>,
}

impl Control {
    pub fn add(&mut self, stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        self.next += 1;
        let client = Client {
            stream,
            lines: Lines::default(),
            behind: VecDeque::new(),
            subscribed: false,
        };
        self.clients.insert(self.next, client);
        Ok(())
    }

    pub fn has(&self, client: u64) -> bool {
        self.clients.contains_key(&client)
    }

    pub fn is_full(&self) -> bool {
        self.clients.len() >= MAX_CLIENTS
    }

    pub fn interests(&self) -> impl Iterator<Item = (u64, RawFd, i16)> + '_ {
        self.clients.iter().map(|(id, client)| {
            let write = if client.behind.is_empty() {
                0
            } else {
                libc::POLLOUT
            };
            (*id, client.stream.as_raw_fd(), libc::POLLIN | write)
        })
    }

    /// Requests that have arrived whole. A client that is no JSON speaker is told so and let go.
    pub fn service(&mut self, id: u64, buffer: &mut [u8]) -> Vec<Request> {
        match self.receive(id, buffer) {
            Ok(requests) => requests,
            Err(refusal) => {
                if let Some(failure) = refusal {
                    self.send(id, &json!({"id": null, "error": failure.to_json()}));
                }
                self.clients.remove(&id);
                Vec::new()
            }
        }
    }

    fn receive(&mut self, id: u64, buffer: &mut [u8]) -> Result<Vec<Request>, Option<Failure>> {
        let Some(client) = self.clients.get_mut(&id) else {
            return Ok(Vec::new());
        };
        write_some(&mut client.stream, &mut client.behind).map_err(|_| None)?;
        let read = match client.stream.read(buffer) {
            Ok(0) => return Err(None),
            Ok(read) => read,
            Err(error) if would_block(&error) => return Ok(Vec::new()),
            Err(_) => return Err(None),
        };
        let invalid = |why: String| Some(Failure::new("invalid_request", why));
        let lines = client
            .lines
            .push(&buffer[..read])
            .map_err(|_| invalid("the line is too long".into()))?;
        lines
            .iter()
            .map(|line| serde_json::from_slice(line).map_err(|error| invalid(error.to_string())))
            .collect()
    }

    pub fn answer(&mut self, client: u64, request: u64, result: Result<Value, Failure>) {
        let message = match result {
            Ok(result) => json!({"id": request, "result": result}),
            Err(failure) => json!({"id": request, "error": failure.to_json()}),
        };
        self.send(client, &message);
    }

    pub fn subscribe(&mut self, client: u64) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.subscribed = true;
        }
    }

    pub fn answer_after_exit(&mut self, client: u64, request: u64) {
        self.killers.retain(|(id, _)| self.clients.contains_key(id));
        if self.killers.len() < 4 * MAX_CLIENTS {
            self.killers.push((client, request));
        }
    }

    /// The VMM has ended and `exit.json` is in place: tells everybody who wants to know.
    pub fn announce_exit(&mut self, exit: &Value) {
        for (client, request) in std::mem::take(&mut self.killers) {
            self.answer(client, request, Ok(json!({})));
        }
        self.broadcast(&json!({"event": "exit", "exit": exit}));
    }

    /// To all who have subscribed.
    pub fn broadcast(&mut self, message: &Value) {
        let subscribers: Vec<u64> = self
            .clients
            .iter()
            .filter(|(_, client)| client.subscribed)
            .map(|(id, _)| *id)
            .collect();
        for id in subscribers {
            self.send(id, message);
        }
    }

    /// For an answer that is more than a line.
    pub fn with_stream<T>(&self, client: u64, say: impl FnOnce(&UnixStream) -> T) -> Option<T> {
        self.clients.get(&client).map(|client| say(&client.stream))
    }

    /// True where some client has not taken all of its answers.
    pub fn is_behind(&self) -> bool {
        self.clients
            .values()
            .any(|client| !client.behind.is_empty())
    }

    pub fn flush(&mut self) {
        self.clients
            .retain(|_, client| write_some(&mut client.stream, &mut client.behind).is_ok());
    }

    fn send(&mut self, id: u64, message: &Value) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        client.behind.extend(format!("{message}\n").as_bytes());
        let sent = write_some(&mut client.stream, &mut client.behind);
        if sent.is_err() || client.behind.len() > MAX_BEHIND {
            self.clients.remove(&id);
        }
    }
}
