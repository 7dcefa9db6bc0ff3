//! However it ends, it is told, and nothing is left.

mod bench;

use bench::{fresh_dir, is_alive, kill, until, Bench};
use serde_json::{json, Value};
use std::net::TcpListener;
use std::time::{Duration, Instant};

#[test]
fn a_killed_vmm_is_recorded_with_its_signal_within_a_second() {
    let mut bench = Bench::start("exec sleep 1000", json!({}));
    let mut client = bench.connect();
    assert_eq!(client.call("subscribe", json!({}))["result"], json!({}));
    let killed = Instant::now();
    kill(bench.vmm(), libc::SIGKILL);
    let event = client.next();
    assert!(
        killed.elapsed() < Duration::from_secs(1),
        "{:?}",
        killed.elapsed()
    );
    assert_eq!(event["event"], "exit");
    assert_eq!(event["exit"]["signal"], "SIGKILL");
    assert_eq!(event["exit"], bench.exit());
    assert!(bench.wait().success());
    assert!(!bench.sockets_left());
}

#[test]
fn an_exit_code_and_the_last_words_are_recorded() {
    let mut bench = Bench::start("echo out; echo no such disk >&2; exit 7", json!({}));
    assert!(bench.wait().success());
    let exit = bench.exit();
    assert_eq!(exit["code"], 7);
    assert_eq!(exit["signal"], Value::Null);
    assert_eq!(exit["stderr"], "out\nno such disk\n");
    assert!(exit["at"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_killed_shim_takes_its_vmm_with_it() {
    let bench = Bench::start("exec sleep 1000", json!({}));
    kill(bench.shim.id() as i32, libc::SIGKILL);
    until("the end of the VMM", || {
        (!is_alive(bench.vmm())).then_some(())
    });
    assert!(!bench.file("exit.json").exists());
}

#[test]
fn a_terminated_shim_ends_its_vmm_first() {
    let mut bench = Bench::start("trap '' TERM; while :; do sleep 1; done", json!({}));
    kill(bench.shim.id() as i32, libc::SIGTERM);
    assert!(bench.wait().success());
    assert!(!is_alive(bench.vmm()));
    assert_eq!(bench.exit()["signal"], "SIGKILL");
}

#[test]
fn kill_is_answered_once_the_record_is_in_place() {
    let mut bench = Bench::start("exec sleep 1000", json!({}));
    let answer = bench.connect().call("kill", json!({}));
    assert_eq!(answer, json!({"id": 7, "result": {}}));
    assert_eq!(bench.exit()["signal"], "SIGKILL");
    assert!(!is_alive(bench.vmm()));
    assert!(bench.wait().success());
}

#[test]
fn one_that_is_not_detached_ends_with_its_launcher() {
    let mut bench = Bench::start("exec sleep 1000", json!({"detached": false}));
    drop(bench.shim.stdin.take());
    assert!(bench.wait().success());
    assert_eq!(bench.exit()["signal"], "SIGKILL");
}

#[test]
fn a_detached_one_does_not() {
    let mut bench = Bench::start("exec sleep 1000", json!({}));
    drop(bench.shim.stdin.take());
    assert_eq!(
        bench.connect().call("status", json!({}))["result"]["running"],
        true
    );
    assert!(is_alive(bench.vmm()));
}

#[test]
fn a_child_of_the_vmm_delays_nothing_and_does_not_outlive_it() {
    let mut bench = Bench::start("sleep 1000 & echo $! > child; exit 3", json!({}));
    assert!(bench.wait().success());
    assert_eq!(bench.exit()["code"], 3);
    let child: i32 = bench.read("child").trim().parse().unwrap();
    until("the end of the child", || (!is_alive(child)).then_some(()));
}

#[test]
fn one_that_has_left_the_group_and_holds_the_outputs_delays_it_by_half_a_second_at_most() {
    let started = Instant::now();
    let mut bench = Bench::start(
        "setsid sleep 1000 & echo $! > child; sleep 0.1; exit 3",
        json!({}),
    );
    assert!(bench.wait().success());
    assert!(started.elapsed() < Duration::from_secs(3));
    kill(bench.read("child").trim().parse().unwrap(), libc::SIGKILL);
}

#[test]
fn files_of_the_vmm_are_removed_after_it() {
    let mut bench = Bench::start(
        "touch qmp.sock; exit 0",
        json!({"remove": ["qmp.sock", "never.sock"]}),
    );
    assert!(bench.wait().success());
    assert!(!bench.file("qmp.sock").exists());
}

#[test]
fn a_second_shim_is_refused_and_the_first_goes_on() {
    let first = Bench::start("exec sleep 1000", json!({}));
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_viv-shim"))
        .arg(&first.dir)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&second.stdout).unwrap();
    assert_eq!(said["error"]["code"], "conflict");
    assert_eq!(
        first.connect().call("status", json!({}))["result"]["vmm"],
        first.said["vmm"]
    );
}

#[test]
fn a_port_in_use_leaves_nothing() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let free = json!({"host_address": "127.0.0.1", "host_port": 0, "guest_port": 1, "binding": "required"});
    let taken = json!({"host_address": "127.0.0.1", "host_port": port, "guest_port": 80, "binding": "required"});
    let mut bench = Bench::start_in(
        fresh_dir(),
        "echo ran > ran",
        json!({"ports": [free, taken]}),
    );
    assert_eq!(bench.said["error"]["code"], "port_in_use");
    assert!(bench.said["error"]["message"]
        .as_str()
        .unwrap()
        .contains(&port.to_string()));
    assert_eq!(bench.wait().code(), Some(1));
    assert!(
        !bench.sockets_left() && !bench.file("shim.json").exists() && !bench.file("ran").exists()
    );
}

#[test]
fn a_missing_program_leaves_nothing() {
    let mut bench = Bench::start_in(fresh_dir(), "", json!({"argv": ["no-such-vmm"]}));
    assert_eq!(bench.said["error"]["code"], "vmm_missing");
    assert_eq!(bench.wait().code(), Some(1));
    assert!(!bench.sockets_left() && !bench.file("shim.json").exists());
}

#[test]
fn a_stale_record_and_sockets_are_replaced() {
    let dir = fresh_dir();
    for name in ["exit.json", "shim.sock", "console.sock", "shim.json"] {
        std::fs::write(dir.join(name), "{}").unwrap();
    }
    let bench = Bench::start_in(dir, "exec sleep 1000", json!({}));
    assert!(!bench.file("exit.json").exists());
    let record: Value = serde_json::from_str(&bench.read("shim.json")).unwrap();
    assert_eq!(record["vmm"], bench.said["vmm"]);
    assert_eq!(record["shim"]["pid"], bench.shim.id());
}
