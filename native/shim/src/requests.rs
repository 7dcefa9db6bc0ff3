//! What the shim does when it is asked: the methods of `shim.sock`.

use crate::control::Request;
use crate::failure::Failure;
use crate::files::write_durably;
use crate::launch::{PortLimits, PublishRequest};
use crate::memory::Task;
use crate::ports;
use crate::start::RECORD;
use crate::supervisor::Supervisor;
use crate::vmm;
use serde::Deserialize;
use serde_json::{json, Value};
use std::net::{IpAddr, SocketAddr};

#[derive(Deserialize)]
struct RelayTo {
    guest_port: u16,
    address: IpAddr,
    port: u16,
}

#[derive(Deserialize)]
struct HoldPorts {
    keep: bool,
    #[serde(default = "a_minute")]
    hold_ms: u64,
}

fn a_minute() -> u64 {
    60_000
}

#[derive(Deserialize)]
struct Unpublish {
    host_address: IpAddr,
    host_port: u16,
}

impl Supervisor {
    pub fn obey(&mut self, client: u64, request: &Request) {
        if request.method == "kill" {
            self.control.answer_after_exit(client, request.id);
            return vmm::kill_group(self.vmm.pid);
        }
        if let Some(task) = Task::of(request) {
            return self.begin_memory(client, request.id, task);
        }
        let result = match request.method.as_str() {
            "status" => Ok(json!({
                "shim": self.record["shim"],
                "vmm": self.record["vmm"],
                "ports": self.record["ports"],
                "running": true,
            })),
            "subscribe" => {
                self.control.subscribe(client);
                Ok(json!({}))
            }
            "guard" => request
                .parameters()
                .and_then(|wanted| self.guard.hold(client, &wanted))
                .map(|()| json!({})),
            "guard_release" => self.guard.release(client).map(|()| json!({})),
            "relay" => request.parameters().map(|to: RelayTo| {
                self.relay
                    .set_target(to.guest_port, SocketAddr::new(to.address, to.port));
                json!({})
            }),
            "publish" => request
                .parameters()
                .and_then(|wanted: PublishRequest| self.publish(&wanted)),
            "ports_traffic" => Ok(json!({"traffic": self.relay.traffic()})),
            "ports_hold" => request.parameters().map(|hold: HoldPorts| {
                self.held = true;
                self.keep_ports = hold.keep.then_some(hold.hold_ms);
                json!({"traffic": self.relay.traffic()})
            }),
            "ports_release" => {
                self.held = false;
                self.keep_ports = None;
                Ok(json!({}))
            }
            "ports_limit" => request.parameters().map(|limits: PortLimits| {
                self.relay.limit(limits);
                json!({})
            }),
            "unpublish" => request
                .parameters()
                .and_then(|port: Unpublish| self.unpublish(&port)),
            other => Err(Failure::new(
                "invalid_request",
                format!("no method {other:?}"),
            )),
        };
        self.control.answer(client, request.id, result);
    }

    /// It is answered when it is done, or now where it cannot be begun.
    fn begin_memory(&mut self, client: u64, request: u64, task: Result<Task, Failure>) {
        let pid = self.vmm.pid;
        let begun = task.and_then(|task| self.memory.begin(client, request, pid, task));
        if let Err(failure) = begun {
            self.control.answer(client, request, Err(failure));
        }
    }

    /// Where a task about memory is done, or has to be because the VMM has ended.
    pub fn answer_memory(&mut self, vmm_ended: bool) {
        if let Some(answer) = self.memory.take(vmm_ended) {
            self.control
                .answer(answer.client, answer.request, answer.outcome);
        }
    }

    fn publish(&mut self, wanted: &PublishRequest) -> Result<Value, Failure> {
        if self.ports.len() >= ports::MAX_PORTS {
            return Err(Failure::new("invalid_request", "too many published ports"));
        }
        let port = ports::bind(wanted)?;
        let answer = json!(port.published);
        self.ports.push(port);
        self.record_ports();
        Ok(answer)
    }

    fn unpublish(&mut self, which: &Unpublish) -> Result<Value, Failure> {
        let at = self.ports.iter().position(|port| {
            port.published.host_address == which.host_address
                && port.published.host_port == which.host_port
        });
        let at = at.ok_or_else(|| Failure::new("not_found", "that port is not published"))?;
        let port = self.ports.remove(at);
        self.relay.close(&port.published);
        self.record_ports();
        Ok(json!({}))
    }

    /// Whoever adopts the machine reads its ports there. A full disk is no reason to refuse the port.
    fn record_ports(&mut self) {
        self.record["ports"] = self
            .ports
            .iter()
            .map(|port| json!(port.published))
            .collect();
        let _ = write_durably(RECORD, &self.record);
    }
}
