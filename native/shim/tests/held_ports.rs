//! Published ports that outlive their VMM: nobody who connects is refused, and nobody is lost.

mod bench;

use bench::{kill, shouter, until, Bench, Client, PATIENCE};
use serde_json::{json, Value};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RUN: &str = "exec sleep 1000";

fn port(host_port: u16) -> Value {
    json!({"host_address": "127.0.0.1", "host_port": host_port, "guest_port": 80, "binding": "required"})
}

fn bound(bench: &Bench) -> u16 {
    bench.said["ports"][0]["host_port"].as_u64().unwrap() as u16
}

fn relay_to(port: u16) -> Value {
    json!({"guest_port": 80, "address": "127.0.0.1", "port": port})
}

fn say(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream
}

fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// A shim whose VMM has ended and whose ports are held.
fn suspended(hold_ms: u64) -> (Bench, u16) {
    let mut bench = Bench::start(RUN, json!({"ports": [port(0)]}));
    let held = bound(&bench);
    let hold = json!({"keep": true, "hold_ms": hold_ms});
    assert_eq!(
        bench.connect().call("ports_hold", hold)["result"],
        json!({"traffic": []})
    );
    kill(bench.vmm(), libc::SIGKILL);
    bench.wait();
    (bench, held)
}

fn holder(bench: &Bench) -> Client {
    Client::new(&bench.file("wake.sock"))
}

#[test]
fn connections_are_taken_over_from_shim_to_holder_to_shim() {
    let mut bench = Bench::start(RUN, json!({"ports": [port(0)]}));
    let held = bound(&bench);
    let mut control = bench.connect();
    control.call("relay", relay_to(shouter()));
    assert_eq!(answer(say(held)), "HELLO");
    let hold = json!({"keep": true, "hold_ms": 60_000});
    control.call("ports_hold", hold);
    let before = say(held);
    kill(bench.vmm(), libc::SIGKILL);
    bench.wait();
    // Everything of the shim is over; the port is not.
    assert!(!bench.sockets_left());
    let meanwhile = say(held);
    let mut watcher = holder(&bench);
    assert_eq!(watcher.call("watch", json!({}))["result"], json!({}));
    assert_eq!(watcher.next(), json!({"event": "traffic"}));

    let again = Bench::start_in(
        bench.dir.clone(),
        RUN,
        json!({"ports": [port(held)], "hold_ports": true}),
    );
    assert_eq!(again.said["ok"], true, "{}", again.said);
    assert_eq!(watcher.next(), Value::Null, "the holder has ended");
    assert!(!again.file("wake.sock").exists());
    let mut control = again.connect();
    control.call("relay", relay_to(shouter()));
    assert_eq!(
        control.call("ports_traffic", json!({}))["result"]["traffic"],
        json!([])
    );
    assert_eq!(
        control.call("ports_release", json!({}))["result"],
        json!({})
    );
    assert_eq!(answer(before), "HELLO");
    assert_eq!(answer(meanwhile), "HELLO");
    std::mem::forget(bench); // the other one has its directory
}

#[test]
fn who_waits_is_told_of_to_whoever_comes_to_listen() {
    let (bench, held) = suspended(60_000);
    let _waiting = say(held);
    for _ in 0..2 {
        let mut watcher = holder(&bench);
        watcher.call("watch", json!({}));
        assert_eq!(watcher.next(), json!({"event": "traffic"}));
    }
    holder(&bench).call("close", json!({}));
}

#[test]
fn who_waits_is_sent_away_when_that_is_asked_for_or_nobody_came_in_time() {
    let (bench, held) = suspended(300);
    let first = say(held);
    assert_eq!(holder(&bench).call("drop", json!({}))["result"], json!({}));
    assert!((&first).read(&mut [0; 8]).map_or(true, |read| read == 0));
    let began = Instant::now();
    let second = say(held);
    assert!((&second).read(&mut [0; 8]).map_or(true, |read| read == 0));
    assert!(began.elapsed() >= Duration::from_millis(300));
    // And the port is still held.
    let mut watcher = holder(&bench);
    watcher.call("watch", json!({}));
    let _third = say(held);
    assert_eq!(watcher.next(), json!({"event": "traffic"}));
    assert_eq!(watcher.call("close", json!({}))["result"], json!({}));
    until("the end of the port", || {
        TcpStream::connect(("127.0.0.1", held)).err()
    });
    assert!(!bench.file("wake.sock").exists());
}

#[test]
fn ports_of_a_machine_that_nobody_left_are_bound_anew() {
    let (bench, held) = suspended(60_000);
    holder(&bench).call("close", json!({}));
    until("the end of the port", || {
        TcpStream::connect(("127.0.0.1", held)).err()
    });
    let ports = json!([{"host_address": "127.0.0.1", "host_port": held, "guest_port": 80}]);
    let holding = json!({"hold_ms": 60_000, "detached": false, "ports": ports});
    let start = |dir: &PathBuf| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_viv-shim"));
        command.arg("hold").arg(dir).arg(holding.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut first = start(&bench.dir);
    let mut said = String::new();
    first
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "{\"ok\":true}\n");
    let mut watcher = holder(&bench);
    watcher.call("watch", json!({}));
    let _waiting = say(held);
    assert_eq!(watcher.next(), json!({"event": "traffic"}));
    // Its starter ends.
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
}

#[test]
fn a_holder_whose_port_is_taken_says_so() {
    let bench = Bench::start(RUN, json!({"ports": [port(0)]}));
    let ports =
        json!([{"host_address": "127.0.0.1", "host_port": bound(&bench), "guest_port": 80}]);
    let holding = json!({"hold_ms": 1, "detached": true, "ports": ports});
    let mut command = Command::new(env!("CARGO_BIN_EXE_viv-shim"));
    command.arg("hold").arg(&bench.dir).arg(holding.to_string());
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["error"]["code"], "port_in_use");
}

#[test]
fn a_held_port_that_is_released_lets_those_through_who_waited() {
    let bench = Bench::start(RUN, json!({"ports": [port(0)]}));
    let mut control = bench.connect();
    control.call("relay", relay_to(shouter()));
    control.call("ports_hold", json!({"keep": false}));
    let waiting = say(bound(&bench));
    control.call("ports_release", json!({}));
    assert_eq!(answer(waiting), "HELLO");
}

#[test]
fn traffic_tells_who_is_connected_and_who_was() {
    let bench = Bench::start(RUN, json!({"ports": [port(0)]}));
    let mut control = bench.connect();
    control.call("relay", relay_to(shouter()));
    let open = TcpStream::connect(("127.0.0.1", bound(&bench))).unwrap();
    let traffic = |control: &mut Client| {
        control.call("ports_traffic", json!({}))["result"]["traffic"][0].clone()
    };
    let seen = until("a connection", || {
        let seen = traffic(&mut control);
        (seen["open"] == 1).then_some(seen)
    });
    assert_eq!(
        seen,
        json!({"guest_port": 80, "peer": "127.0.0.1", "open": 1, "quiet_ms": 0})
    );
    let held = control.call("ports_hold", json!({"keep": false}));
    assert_eq!(held["result"]["traffic"][0]["open"], 1);
    drop(open);
    until("its end", || {
        (traffic(&mut control)["open"] == 0).then_some(())
    });
    std::thread::sleep(Duration::from_millis(20)); // what is measured is this time
    assert!(traffic(&mut control)["quiet_ms"].as_u64().unwrap() >= 20);
}

#[test]
fn a_rate_is_kept_both_ways_over_all_connections_and_can_be_lifted() {
    let limits = json!({"download": 200_000, "upload": 200_000});
    let bench = Bench::start(RUN, json!({"ports": [port(0)], "port_limits": limits}));
    let mut control = bench.connect();
    control.call("relay", relay_to(shouter()));
    let shout = |bytes: usize| {
        let began = Instant::now();
        let mut stream = TcpStream::connect(("127.0.0.1", bound(&bench))).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            writer.write_all(&vec![b'a'; bytes]).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        sender.join().unwrap();
        assert_eq!(back, vec![b'A'; bytes]);
        began.elapsed()
    };
    // A second's worth in, and then as much out.
    let took = shout(200_000);
    assert!(took >= Duration::from_millis(1600), "{took:?}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    control.call("ports_limit", json!({"download": 0, "upload": 0}));
    assert!(shout(200_000) < Duration::from_millis(1600));
}
