//! A stand-in for the VMM that has memory: it maps what it is told to, writes to it as it is told to, and shows all of it.
//!
//! It is the test program itself, started again by the shim; it is told on its console, a line at a time.

// Each test program uses a part of it.
#![allow(dead_code)]

use crate::bench::{Bench, Client, PATIENCE};
use serde_json::{json, Value};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

pub const PAGE: usize = 4096;

/// splitmix64
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.chunks_mut(8) {
            let random = self.next().to_le_bytes();
            word.copy_from_slice(&random[..word.len()]);
        }
    }
}

/// What the test program does where the shim started it. Every test program has a test that calls this.
pub fn act_where_told() {
    if std::env::var_os("STAND_IN").is_none() {
        return;
    }
    // SAFETY: the shim put the console there.
    let console = unsafe { UnixStream::from_raw_fd(3) };
    let mut memory: &mut [u8] = &mut [];
    for line in BufReader::new(console.try_clone().unwrap()).lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words[at].parse::<usize>().unwrap();
        match words[0] {
            "map" => memory = map(number(1), words.get(2)),
            "dirty" => dirty(memory, number(1) as u64, number(2)),
            "write" => memory[number(1) * PAGE..][..number(2) * PAGE].fill(number(3) as u8),
            "flip" => memory[number(1)] ^= number(2) as u8,
            "scatter" => scatter(memory, number(1) as u64, number(2)),
            "discard" => discard(&mut memory[number(1) * PAGE..][..number(2) * PAGE]),
            "dump" => fs::write(words[1], &*memory).unwrap(),
            // SAFETY: makes this process one that others may not look into.
            "hide" => assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) }, 0),
            other => panic!("{other}"),
        }
        writeln!(&console, "{}", memory.as_ptr() as u64).unwrap();
    }
}

fn map(bytes: usize, path: Option<&&str>) -> &'static mut [u8] {
    let file = path.map(|path| File::open(path).unwrap());
    let (flags, fd) = match &file {
        Some(file) => (libc::MAP_PRIVATE, file.as_raw_fd()),
        None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
    };
    let mode = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping that is never removed.
    unsafe {
        let address = libc::mmap(std::ptr::null_mut(), bytes, mode, flags, fd, 0);
        assert_ne!(address, libc::MAP_FAILED);
        std::slice::from_raw_parts_mut(address.cast(), bytes)
    }
}

/// What guests and VMMs do: write some of a page or all, clear pages, give pages back.
fn dirty(memory: &mut [u8], seed: u64, times: usize) {
    let mut random = Random(seed);
    for _ in 0..times {
        let pages = 1 + random.below(20);
        let first = random.below(memory.len() / PAGE - pages);
        let some = &mut memory[first * PAGE..(first + pages) * PAGE];
        match random.below(8) {
            0 | 1 => some.fill(0),
            2 => discard(some),
            3 | 4 => random.fill(some),
            _ => {
                let at = random.below(some.len());
                some[at] = random.next() as u8;
            }
        }
    }
}

/// Single pages, evenly strewn.
fn scatter(memory: &mut [u8], seed: u64, pages: usize) {
    let all = memory.len() / PAGE;
    for n in 0..pages {
        let page = n * all / pages;
        Random(seed ^ n as u64).fill(&mut memory[page * PAGE..(page + 1) * PAGE]);
    }
}

fn discard(memory: &mut [u8]) {
    // SAFETY: pages of our own private mapping.
    let done = unsafe {
        libc::madvise(
            memory.as_mut_ptr().cast(),
            memory.len(),
            libc::MADV_DONTNEED,
        )
    };
    assert_eq!(done, 0);
}

/// A shim, and the stand-in under it.
pub struct Machine {
    pub bench: Bench,
    pub client: Client,
    console: BufReader<UnixStream>,
    address: u64,
    bytes: usize,
}

/// A launch of this very program.
pub fn launch() -> Value {
    let program = std::env::current_exe().unwrap();
    json!({
        "argv": [program, "stands_in_for_the_vmm", "--exact", "--nocapture"],
        "env": {"STAND_IN": "1"},
    })
}

impl Machine {
    /// With so much memory, of that file or of none.
    pub fn start(bytes: usize, file: Option<&Path>) -> Machine {
        Machine::of(Bench::start("", launch()), bytes, file)
    }

    pub fn of(bench: Bench, bytes: usize, file: Option<&Path>) -> Machine {
        let console = UnixStream::connect(bench.file("console.sock")).unwrap();
        console.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = bench.connect();
        // A console's client is served once it is accepted, which an answer from the shim proves.
        client.call("status", json!({}));
        let mut machine = Machine {
            bench,
            client,
            console: BufReader::new(console),
            address: 0,
            bytes,
        };
        let file = file.map_or(String::new(), |path| format!(" {}", path.display()));
        machine.address = machine.tell(&format!("map {bytes}{file}"));
        machine
    }

    pub fn tell(&mut self, what: &str) -> u64 {
        writeln!(self.console.get_mut(), "{what}").unwrap();
        let mut line = String::new();
        self.console.read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }

    /// The memory as the VMM itself sees it.
    pub fn view(&mut self) -> Vec<u8> {
        let path = self.bench.file("view");
        self.tell(&format!("dump {}", path.display()));
        let view = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        view
    }

    /// Byte for byte.
    pub fn is_in(&mut self, file: &Path) {
        let differ = differences(&fs::read(file).unwrap(), &self.view());
        assert!(differ.is_empty(), "{differ:?}");
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.bench.file(name)
    }

    pub fn params(&self, more: Value) -> Value {
        let mut params = json!({"address": self.address, "bytes": self.bytes});
        for (key, value) in more.as_object().into_iter().flatten() {
            params[key] = value.clone();
        }
        params
    }

    pub fn ask(&mut self, method: &str, more: Value) -> Value {
        let params = self.params(more);
        self.client.call(method, params)
    }

    /// The result of what has to work.
    pub fn get(&mut self, method: &str, more: Value) -> Value {
        let answer = self.ask(method, more);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The code of what has to fail.
    pub fn refusal(&mut self, method: &str, more: Value) -> String {
        let answer = self.ask(method, more);
        answer["error"]["code"]
            .as_str()
            .unwrap_or_else(|| panic!("{method}: {answer}"))
            .to_owned()
    }
}

/// Pages of data, of written zeros, and holes, in no order.
pub fn base_file(path: &Path, bytes: usize, seed: u64) {
    let file = File::create(path).unwrap();
    file.set_len(bytes as u64).unwrap();
    let mut random = Random(seed);
    let mut page = 0;
    while page < bytes / PAGE {
        let pages = (1 + random.below(60)).min(bytes / PAGE - page);
        let mut data = vec![0; pages * PAGE];
        let kind = random.below(3);
        if kind == 0 {
            random.fill(&mut data);
        }
        if kind < 2 {
            file.write_all_at(&data, (page * PAGE) as u64).unwrap();
        }
        page += pages;
    }
    file.set_permissions(fs::Permissions::from_mode(0o400))
        .unwrap();
}

/// Where two differ, by page.
pub fn differences(a: &[u8], b: &[u8]) -> Vec<u64> {
    assert_eq!(a.len(), b.len());
    let pages = a.chunks(PAGE).zip(b.chunks(PAGE)).enumerate();
    pages
        .filter(|(_, (a, b))| a != b)
        .map(|(n, _)| n as u64)
        .collect()
}
