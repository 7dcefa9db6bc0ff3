//! A guest that was stopped for an instant is let run again by the shim, where whoever stopped it can't.

mod bench;

use bench::{Bench, Client, PATIENCE};
use serde_json::{json, Value};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{channel, Receiver};
use std::thread;

/// Stands in for the VMM's monitor: answers everything, and tells what it was asked.
fn monitor(bench: &Bench) -> Receiver<Option<String>> {
    let listener = UnixListener::bind(bench.file("guard.sock")).unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            for command in converse(stream) {
                let _ = tell.send(Some(command));
            }
            let _ = tell.send(None);
        }
    });
    told
}

fn converse(stream: UnixStream) -> impl Iterator<Item = String> {
    let mut writer = stream.try_clone().unwrap();
    let _ = writeln!(
        writer,
        "{}",
        json!({"QMP": {"version": {}, "capabilities": []}})
    );
    BufReader::new(stream)
        .lines()
        .map_while(Result::ok)
        .map(move |line| {
            let request: Value = serde_json::from_str(&line).unwrap();
            let _ = writeln!(writer, "{}", json!({"event": "RESUME"}));
            let _ = writeln!(writer, "{}", json!({"return": {}}));
            request["execute"].as_str().unwrap().to_owned()
        })
}

fn next(told: &Receiver<Option<String>>) -> Option<String> {
    told.recv_timeout(PATIENCE).unwrap()
}

fn start() -> (Bench, Receiver<Option<String>>) {
    let bench = Bench::start("exec sleep 1000", json!({}));
    let told = monitor(&bench);
    (bench, told)
}

fn hold(client: &mut Client, seconds: u64) -> Value {
    client.call("guard", json!({"seconds": seconds, "socket": "guard.sock"}))
}

fn rescued(told: &Receiver<Option<String>>) {
    let said = [next(told), next(told), next(told)];
    let expected = [Some("qmp_capabilities".into()), Some("cont".into()), None];
    assert_eq!(said, expected);
}

#[test]
fn the_guest_goes_on_when_the_one_who_stopped_it_is_gone() {
    let (bench, told) = start();
    let mut client = bench.connect();
    assert_eq!(hold(&mut client, 600)["result"], json!({}));
    drop(client);
    rescued(&told);
    // And the next one is guarded as well.
    let mut next = bench.connect();
    bench::until("the guard to be free", || {
        (hold(&mut next, 600)["result"] == json!({})).then_some(())
    });
    drop(next);
    rescued(&told);
}

#[test]
fn the_guest_goes_on_when_the_one_who_stopped_it_says_nothing_for_too_long_and_that_one_is_told() {
    let (bench, told) = start();
    let mut client = bench.connect();
    hold(&mut client, 600);
    assert_eq!(hold(&mut client, 1)["result"], json!({}));
    rescued(&told);
    assert_eq!(
        client.call("guard_release", json!({}))["error"]["code"],
        "conflict"
    );
}

#[test]
fn nothing_is_said_to_a_vmm_whose_guard_was_released() {
    let (bench, told) = start();
    let mut client = bench.connect();
    hold(&mut client, 600);
    assert_eq!(client.call("guard_release", json!({}))["result"], json!({}));
    assert_eq!(
        client.call("guard_release", json!({}))["error"]["code"],
        "conflict"
    );
    assert_eq!(next(&told), None);
    drop(client);
    bench.connect().call("status", json!({}));
    assert!(told.try_recv().is_err());
}

#[test]
fn only_one_holds_it_and_only_where_the_vmm_can_be_reached() {
    let (bench, _told) = start();
    let mut client = bench.connect();
    for (seconds, socket, code) in [
        (0, "guard.sock", "invalid_request"),
        (601, "guard.sock", "invalid_request"),
        (5, "../guard.sock", "invalid_request"),
        (5, "", "invalid_request"),
        (5, "absent.sock", "vmm_failed"),
    ] {
        let answer = client.call("guard", json!({"seconds": seconds, "socket": socket}));
        assert_eq!(answer["error"]["code"], code, "{answer}");
    }
    hold(&mut client, 600);
    let mut other = bench.connect();
    assert_eq!(hold(&mut other, 5)["error"]["code"], "conflict");
    assert_eq!(
        other.call("guard_release", json!({}))["error"]["code"],
        "conflict"
    );
    assert_eq!(client.call("guard_release", json!({}))["result"], json!({}));
}
