//! What a shim holds for its VMM: logs, console, ports, and a socket on which anyone may say anything.

mod bench;

use bench::{kill, shouter, until, Bench, PATIENCE};
use serde_json::{json, Value};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn the_vmm_gets_its_five_descriptors_and_an_environment_of_its_own() {
    let changes = json!({"env": {"PATH": "/usr/bin:/bin", "ONLY": "this"}});
    let mut bench = Bench::start("ls /proc/$$/fd; env; ulimit -c >/dev/null", changes);
    assert!(bench.wait().success());
    let said = bench.read("vmm.log");
    // dash keeps no descriptor of its own for a `-c` script.
    assert!(said.starts_with("0\n1\n2\n3\n4\n"), "{said}");
    assert!(said.contains("ONLY=this"));
    assert!(!said.contains("CARGO"), "{said}");
}

#[test]
fn a_shim_that_may_open_nothing_says_so_and_ends() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_viv-shim"));
    command.arg("/nowhere").stdout(Stdio::piped());
    let few = libc::rlimit {
        rlim_cur: 4,
        rlim_max: 4,
    };
    // SAFETY: one system call on a struct of its own.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NOFILE, &few) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let mut shim = command.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE - Duration::from_secs(1);
    let ended = until("its end", || match shim.try_wait().unwrap() {
        None if Instant::now() > deadline => shim.kill().map(|()| None).unwrap(),
        other => other,
    });
    let mut said = String::new();
    shim.stdout.unwrap().read_to_string(&mut said).unwrap();
    assert!(!ended.success());
    assert!(said.contains("/dev/null"), "{said}");
}

#[test]
fn the_console_goes_to_its_log_and_to_every_client_and_their_input_to_the_vmm() {
    let bench = Bench::start(
        "read line <&{fd:console}; echo got $line >&{fd:console}; exec sleep 1000",
        json!({}),
    );
    let mut clients: Vec<UnixStream> = (0..2)
        .map(|_| UnixStream::connect(bench.file("console.sock")).unwrap())
        .collect();
    // A client is served once it is accepted, which an answer from the shim proves.
    bench.connect().call("status", json!({}));
    clients[0].write_all(b"hello\n").unwrap();
    for client in &mut clients {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut text = [0; 10];
        client.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"got hello\n");
    }
    assert_eq!(bench.read("console.log"), "got hello\n");
}

#[test]
fn logs_are_drained_to_their_ends_before_the_exit_is_told() {
    let script = "head -c 3000000 /dev/zero | tr '\\0' x >&{fd:console}; head -c 3000000 /dev/zero >&{fd:log}; exit 5";
    let logs = json!({"logs": {"max_bytes": 100_000_000, "keep": 1}});
    let mut bench = Bench::start(script, logs);
    assert!(bench.wait().success());
    assert_eq!(bench.exit()["code"], 5);
    assert_eq!(bench.read("console.log").len(), 3_000_000);
    assert_eq!(bench.read("app.log").len(), 3_000_000);
}

#[test]
fn the_console_log_is_rotated_by_size_and_only_so_many_are_kept() {
    let script = "head -c 20000 /dev/zero | tr '\\0' x >&{fd:console}; exit 0";
    let mut bench = Bench::start(script, json!({"logs": {"max_bytes": 4096, "keep": 2}}));
    assert!(bench.wait().success());
    assert_eq!(bench.read("console.log").len(), 20000 % 4096);
    assert_eq!(bench.read("console.log.1").len(), 4096);
    assert_eq!(bench.read("console.log.2").len(), 4096);
    assert!(!bench.file("console.log.3").exists());
}

#[test]
fn the_app_log_is_rotated_where_a_line_ends() {
    let script =
        "i=0; while [ $i -lt 500 ]; do echo 'line of some length' $i; i=$((i+1)); done >&{fd:log}";
    let mut bench = Bench::start(script, json!({"logs": {"max_bytes": 4096, "keep": 9}}));
    assert!(bench.wait().success());
    let mut all = String::new();
    for n in (1..=9).rev() {
        if bench.file(&format!("app.log.{n}")).exists() {
            let piece = bench.read(&format!("app.log.{n}"));
            assert!(
                piece.ends_with('\n') && piece.len() < 4096 + 32,
                "{}",
                piece.len()
            );
            all += &piece;
        }
    }
    all += &bench.read("app.log");
    assert_eq!(all.lines().count(), 500);
    assert!(all.starts_with("line of some length 0\n"));
}

#[test]
fn the_vmms_own_log_keeps_the_newest() {
    let script = "head -c 3000000 /dev/zero | tr '\\0' x; echo the end; exit 0";
    let mut bench = Bench::start(script, json!({}));
    assert!(bench.wait().success());
    let log = bench.read("vmm.log");
    assert!(
        log.len() <= 1024 * 1024 && log.len() > 256 * 1024,
        "{}",
        log.len()
    );
    assert!(log.ends_with("the end\n"));
    assert_eq!(bench.exit()["stderr"].as_str().unwrap().len(), 4096);
}

#[test]
fn a_flood_on_the_console_takes_neither_memory_nor_disk_and_a_client_that_does_not_read_is_dropped()
{
    let bench = Bench::start("cat /dev/zero >&{fd:console}", json!({}));
    let deaf = UnixStream::connect(bench.file("console.sock")).unwrap();
    let sent = |fields: &str| {
        let io = std::fs::read_to_string(format!("/proc/{}/io", bench.shim.id())).unwrap();
        let line = io
            .lines()
            .find(|line| line.starts_with(fields))
            .unwrap()
            .to_owned();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    until("64 MiB of flood", || {
        (sent("wchar:") > 64 << 20).then_some(())
    });
    assert!(
        bench.resident_kib() < 8 * 1024,
        "{} KiB",
        bench.resident_kib()
    );
    let size = |name: &str| std::fs::metadata(bench.file(name)).map_or(0, |data| data.len());
    assert!(size("console.log") + size("console.log.1") <= 2 * 65536);
    // Dropped: what it was sent before ends in an end of file.
    deaf.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut sunk = Vec::new();
    (&deaf).read_to_end(&mut sunk).unwrap();
    assert!(sunk.len() < 3 << 20);
}

fn published() -> (Bench, u16) {
    let port = json!({"host_address": "127.0.0.1", "host_port": 0, "guest_port": 80, "binding": "preferred"});
    let bench = Bench::start("exec sleep 1000", json!({"ports": [port]}));
    let bound = bench.said["ports"][0]["host_port"].as_u64().unwrap() as u16;
    (bench, bound)
}

#[test]
fn connections_wait_until_it_is_told_where_to_and_a_half_close_is_honoured() {
    let (bench, port) = published();
    let mut early = TcpStream::connect(("127.0.0.1", port)).unwrap();
    early.set_read_timeout(Some(PATIENCE)).unwrap();
    early.write_all(b"hello").unwrap();
    early.shutdown(Shutdown::Write).unwrap();
    let target = json!({"guest_port": 80, "address": "127.0.0.1", "port": shouter()});
    assert_eq!(bench.connect().call("relay", target)["result"], json!({}));
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "HELLO");

    let mut late = TcpStream::connect(("127.0.0.1", port)).unwrap();
    late.set_read_timeout(Some(PATIENCE)).unwrap();
    let text = vec![b'a'; 3_000_000];
    let mut writer = late.try_clone().unwrap();
    let sent = text.clone();
    let sender = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut answer = Vec::new();
    late.read_to_end(&mut answer).unwrap();
    sender.join().unwrap();
    assert_eq!(answer, text.to_ascii_uppercase());
    assert!(bench.resident_kib() < 8 * 1024);
}

#[test]
fn a_refused_relay_closes_the_connection() {
    let (bench, port) = published();
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    bench.connect().call(
        "relay",
        json!({"guest_port": 80, "address": "127.0.0.1", "port": gone}),
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0);
}

#[test]
fn an_idle_relay_uses_no_processor() {
    let (bench, port) = published();
    let target = json!({"guest_port": 80, "address": "127.0.0.1", "port": shouter()});
    bench.connect().call("relay", target);
    // One end closed, the other at rest: where a hang-up would be told again and again.
    let halves: Vec<TcpStream> = (0..4)
        .map(|_| {
            let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.shutdown(Shutdown::Read).unwrap();
            stream
        })
        .collect();
    bench.connect().call("status", json!({}));
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", bench.shim.id())).unwrap();
        let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    thread::sleep(std::time::Duration::from_millis(300)); // what is measured is what happens in this time
    assert!(ticks() - before <= 2, "{} ticks", ticks() - before);
    drop(halves);
}

#[test]
fn ports_come_and_go_while_it_runs() {
    let (bench, first) = published();
    let mut client = bench.connect();
    let wanted = json!({"host_address": "127.0.0.1", "host_port": first, "guest_port": 81, "binding": "required"});
    assert_eq!(
        client.call("publish", wanted.clone())["error"]["code"],
        "port_in_use"
    );
    let mut preferred = wanted;
    preferred["binding"] = json!("preferred");
    let second = client.call("publish", preferred)["result"]["host_port"].clone();
    let recorded: Value = serde_json::from_str(&bench.read("shim.json")).unwrap();
    assert_eq!(recorded["ports"][1]["host_port"], second);
    let gone = json!({"host_address": "127.0.0.1", "host_port": first});
    assert_eq!(client.call("unpublish", gone.clone())["result"], json!({}));
    assert_eq!(client.call("unpublish", gone)["error"]["code"], "not_found");
    TcpListener::bind(("127.0.0.1", first)).unwrap();
}

#[test]
fn garbage_is_answered_and_harms_nobody() {
    let bench = Bench::start("exec sleep 1000", json!({}));
    let mut steady = bench.connect();
    for garbage in [
        "nonsense\n",
        "{}\n",
        "[1]\n",
        "{\"id\":\"x\",\"method\":1}\n",
        "\u{0}\u{1}\n",
    ] {
        let mut rude = bench.connect();
        rude.stream.write_all(garbage.as_bytes()).unwrap();
        assert_eq!(
            rude.next()["error"]["code"],
            "invalid_request",
            "{garbage:?}"
        );
    }
    let mut endless = bench.connect();
    let _ = endless.stream.write_all(&vec![b'x'; 300_000]);
    let mut unknown = bench.connect();
    assert_eq!(
        unknown.call("explode", json!({}))["error"]["code"],
        "invalid_request"
    );
    assert_eq!(
        unknown.call("relay", json!({"guest_port": 99999}))["error"]["code"],
        "invalid_request"
    );
    assert_eq!(steady.call("status", json!({}))["result"]["running"], true);
    assert!(bench.resident_kib() < 8 * 1024);
    kill(bench.vmm(), libc::SIGKILL);
}
