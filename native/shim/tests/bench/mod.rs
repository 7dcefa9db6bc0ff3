//! A shim with a stand-in for its VMM, in a directory of its own; both are gone when it is dropped.

// Each test program uses a part of it.
#![allow(dead_code)]

use serde_json::{json, Value};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing here takes longer, but a loaded machine may.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Bench {
    pub dir: PathBuf,
    pub shim: Child,
    /// Its one line.
    pub said: Value,
}

pub fn fresh_dir() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("viv-shim-{}-{count}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    dir
}

/// A launch of `sh -c script`, over which `changes` are laid.
pub fn launch_file(script: &str, changes: &Value) -> Value {
    let mut launch = json!({
        "format": 1,
        "instance_id": "test",
        "argv": ["sh", "-c", script],
        "env": {"PATH": std::env::var("PATH").unwrap()},
        "logs": {"max_bytes": 65536, "keep": 1},
        "ports": [],
        "detached": true,
    });
    for (key, value) in changes.as_object().into_iter().flatten() {
        launch[key] = value.clone();
    }
    launch
}

impl Bench {
    pub fn start(script: &str, changes: Value) -> Bench {
        let bench = Bench::start_in(fresh_dir(), script, changes);
        assert_eq!(bench.said["ok"], true, "{}", bench.said);
        bench
    }

    pub fn start_in(dir: PathBuf, script: &str, changes: Value) -> Bench {
        fs::write(
            dir.join("launch.json"),
            launch_file(script, &changes).to_string(),
        )
        .unwrap();
        Bench::spawn(dir)
    }

    /// Where another bench may own the directory.
    pub fn spawn(dir: PathBuf) -> Bench {
        let shim = Command::new(env!("CARGO_BIN_EXE_viv-shim"));
        Bench::spawn_as(shim, dir)
    }

    pub fn spawn_as(mut shim: Command, dir: PathBuf) -> Bench {
        shim.arg(&dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shim = shim.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shim.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Bench {
            dir,
            shim,
            said: serde_json::from_str(&line).unwrap(),
        }
    }

    pub fn vmm(&self) -> i32 {
        self.said["vmm"]["pid"].as_i64().unwrap() as i32
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.file(name)).unwrap()).into_owned()
    }

    pub fn exit(&self) -> Value {
        serde_json::from_str(&self.read("exit.json")).unwrap()
    }

    pub fn wait(&mut self) -> ExitStatus {
        until("the end of the shim", || self.shim.try_wait().unwrap())
    }

    pub fn connect(&self) -> Client {
        Client::new(&self.file("shim.sock"))
    }

    pub fn resident_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most it ever had.
    pub fn peak_kib(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// What it has allocated and written to.
    pub fn allocated_kib(&self) -> u64 {
        self.status("RssAnon:")
    }

    pub fn threads(&self) -> u64 {
        self.status("Threads:")
    }

    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.shim.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn sockets_left(&self) -> bool {
        ["shim.sock", "console.sock"]
            .iter()
            .any(|name| self.file(name).exists())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Gently: it then ends everything in the VMM's group, which a killed one cannot.
        if self.shim.try_wait().is_ok_and(|ended| ended.is_none()) {
            kill(self.shim.id() as i32, libc::SIGTERM);
        }
        let _ = self.shim.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A connection to `shim.sock`.
pub struct Client {
    pub stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Client {
    pub fn new(path: &Path) -> Client {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Client { stream, lines }
    }

    pub fn send(&mut self, message: &Value) {
        writeln!(self.stream, "{message}").unwrap();
    }

    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(&json!({"id": 7, "method": method, "params": params}));
        self.next()
    }

    pub fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or(Value::Null)
    }
}

/// Asks until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// False for a zombie too.
pub fn is_alive(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    !stat[stat.rfind(')').unwrap()..].starts_with(") Z")
}

pub fn kill(pid: i32, signal: i32) {
    // SAFETY: a child, or grandchild, of this test.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// Answers each connection with what it said, in capitals, once it has said all.
pub fn shouter() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut text = Vec::new();
                stream.read_to_end(&mut text).unwrap();
                stream.write_all(&text.to_ascii_uppercase()).unwrap();
            });
        }
    });
    port
}
