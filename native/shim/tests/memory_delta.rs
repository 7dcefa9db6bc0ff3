//! What has changed since memory was saved, and digests of what was.

mod bench;
mod stand_in;

use bench::{fresh_dir, launch_file, Bench};
use serde_json::{json, Value};
use stand_in::{base_file, differences, Machine, Random, PAGE};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

const MIB: usize = 1 << 20;

#[test]
fn stands_in_for_the_vmm() {
    stand_in::act_where_told();
}

/// A directory for files that outlive a machine.
struct Files(PathBuf);

impl Files {
    fn new() -> Files {
        Files(fresh_dir())
    }

    fn name(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The format as docs/saved-state.md has it.
fn delta_file(view: &[u8], numbers: &[u64]) -> Vec<u8> {
    let mut delta = b"VIVDELTA".to_vec();
    delta.extend(1u32.to_le_bytes());
    delta.extend((numbers.len() as u32).to_le_bytes());
    for number in numbers {
        delta.extend(number.to_le_bytes());
    }
    for number in numbers {
        delta.extend(&view[*number as usize * PAGE..][..PAGE]);
    }
    delta
}

fn dirty(machine: &mut Machine, random: &mut Random) {
    let (seed, times) = (random.next() >> 1, 1 + random.below(40));
    machine.tell(&format!("dirty {seed} {times}"));
}

#[test]
fn a_delta_is_what_differs_and_put_into_another_vmm_it_makes_the_same_memory() {
    let files = Files::new();
    for seed in 0..10 {
        let mut random = Random(seed);
        let bytes = MIB + random.below(3 * MIB / PAGE) * PAGE;
        let base = files.name(&format!("base-{seed}"));
        base_file(&base, bytes, seed);
        let mut machine = Machine::start(bytes, Some(&base));
        dirty(&mut machine, &mut random);
        // Against the file that is mapped, or against a copy made of this VMM: what it gave back since is different there.
        let mut against = base.clone();
        if seed % 2 == 0 {
            against = files.name(&format!("memory-{seed}"));
            machine.get("memory_copy", json!({"base": base, "into": against}));
            dirty(&mut machine, &mut random);
            machine.get("memory_update", json!({"into": against}));
            dirty(&mut machine, &mut random);
        }
        let into = files.name(&format!("delta-{seed}"));
        let most = json!({"base": against, "into": into, "most_pages": 8192});
        let made = machine.get("memory_delta", most.clone());
        let counted = machine.get("memory_differ", most);
        let view = machine.view();
        let numbers = differences(&fs::read(&against).unwrap(), &view);
        let delta = fs::read(&into).unwrap();
        assert!(delta == delta_file(&view, &numbers), "seed {seed}");
        assert_eq!(made, json!({"pages": numbers.len(), "bytes": delta.len()}));
        assert_eq!(counted, json!({"pages": numbers.len()}));
        assert_eq!(
            fs::metadata(&into).unwrap().permissions().mode() & 0o7777,
            0o400
        );

        let mut other = Machine::start(bytes, Some(&against));
        let applied = other.get("memory_apply", json!({"delta": into}));
        assert_eq!(applied, json!({"pages": numbers.len()}));
        assert!(differences(&other.view(), &view).is_empty(), "seed {seed}");
    }
}

#[test]
fn more_pages_than_wanted_are_not_written_and_counted_only_so_far() {
    let files = Files::new();
    let base = files.name("base");
    base_file(&base, 4 * MIB, 1);
    let mut machine = Machine::start(4 * MIB, Some(&base));
    machine.tell("scatter 5 300");
    let into = files.name("delta");
    let ask = |most: u64| json!({"base": base, "into": into, "most_pages": most});
    assert_eq!(machine.refusal("memory_delta", ask(299)), "conflict");
    assert_eq!(
        machine.refusal("memory_delta", ask(8193)),
        "invalid_request"
    );
    assert!(!into.exists());
    assert_eq!(machine.get("memory_differ", ask(299))["pages"], 300);
    assert_eq!(machine.get("memory_differ", ask(0))["pages"], 1);
    assert_eq!(machine.get("memory_differ", ask(1 << 40))["pages"], 300);
    let made = machine.get("memory_delta", ask(300));
    assert_eq!(made, json!({"pages": 300, "bytes": 16 + 300 * (8 + PAGE)}));
    assert_eq!(machine.refusal("memory_delta", ask(300)), "conflict");
    assert!(into.exists());
    let wrong = files.name("short");
    base_file(&wrong, 3 * MIB, 1);
    for method in ["memory_differ", "memory_delta"] {
        let ask = json!({"base": wrong, "into": files.name("new"), "most_pages": 300});
        assert_eq!(machine.refusal(method, ask), "saved_state_damaged");
    }
}

#[test]
fn where_nothing_differs_the_delta_is_empty() {
    let mut machine = Machine::start(MIB, None);
    machine.tell("write 3 5 1");
    let (memory, delta) = (machine.file("memory"), machine.file("delta"));
    machine.get("memory_copy", json!({"into": memory}));
    machine.get("memory_update", json!({"into": memory}));
    let ask = json!({"base": memory, "into": delta, "most_pages": 0});
    assert_eq!(
        machine.get("memory_delta", ask),
        json!({"pages": 0, "bytes": 16})
    );
    assert_eq!(
        machine.get("memory_apply", json!({"delta": delta})),
        json!({"pages": 0})
    );
}

#[test]
fn a_damaged_delta_is_refused_before_anything_is_written() {
    let mut machine = Machine::start(MIB, None);
    machine.tell("scatter 3 100");
    let view = machine.view();
    let path = machine.file("delta");
    let good = delta_file(&vec![7; MIB], &[1, 2, 255]);
    // More than is moved at once.
    let long = delta_file(&vec![7; MIB], &(0..250).collect::<Vec<u64>>());
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        bad
    };
    for (what, bad) in [
        ("empty", Vec::new()),
        ("half a header", good[..10].to_vec()),
        ("magic", with(0, b"v")),
        ("version", with(8, &2u32.to_le_bytes())),
        ("one page more", with(12, &4u32.to_le_bytes())),
        ("one page less", with(12, &2u32.to_le_bytes())),
        ("very many pages", with(12, &u32::MAX.to_le_bytes())),
        ("a page twice", with(24, &1u64.to_le_bytes())),
        ("pages out of order", with(16, &3u64.to_le_bytes())),
        ("a page outside", with(32, &256u64.to_le_bytes())),
        ("a page far outside", with(32, &u64::MAX.to_le_bytes())),
        ("one byte short", good[..good.len() - 1].to_vec()),
        ("no pages", good[..40].to_vec()),
        ("half the numbers", good[..30].to_vec()),
        ("one byte more", [&good[..], &[0]].concat()),
        ("the last of many short", long[..long.len() - 1].to_vec()),
    ] {
        fs::write(&path, bad).unwrap();
        let code = machine.refusal("memory_apply", json!({"delta": path}));
        assert_eq!(code, "saved_state_damaged", "{what}");
        assert!(machine.view() == view, "{what}");
    }
    let missing = json!({"delta": machine.file("none")});
    assert_eq!(
        machine.refusal("memory_apply", missing),
        "saved_state_damaged"
    );
    fs::write(&path, &good).unwrap();
    machine.get("memory_apply", json!({"delta": path}));
    assert_eq!(differences(&machine.view(), &view), [1, 2, 255]);
}

#[test]
fn the_vmm_finds_its_device_state_at_a_descriptor() {
    let files = Files::new();
    let devices = files.name("devices");
    fs::write(&devices, "a line of state\n").unwrap();
    let script =
        "read line <&{fd:incoming}; echo got $line; echo x >&{fd:incoming} || ls /proc/$$/fd";
    let mut bench = Bench::start(script, json!({"incoming": devices}));
    assert!(bench.wait().success());
    let said = bench.read("vmm.log");
    assert!(said.starts_with("got a line of state\n"), "{said}");
    assert!(said.ends_with("0\n1\n2\n3\n4\n5\n"), "{said}");
    assert_eq!(fs::read(&devices).unwrap(), b"a line of state\n");

    for missing in [files.name("none"), files.0.clone()] {
        let dir = fresh_dir();
        let launch = launch_file("echo ran", &json!({"incoming": missing}));
        fs::write(dir.join("launch.json"), launch.to_string()).unwrap();
        let mut bench = Bench::spawn(dir);
        assert_eq!(
            bench.said["error"]["code"], "saved_state_damaged",
            "{}",
            bench.said
        );
        let message = bench.said["error"]["message"].as_str().unwrap();
        assert!(message.contains(missing.to_str().unwrap()), "{message}");
        assert!(!bench.wait().success());
        assert!(!bench.sockets_left() && bench.read("vmm.log").is_empty());
    }
}

fn digest(files: &[&Path]) -> (Vec<Value>, bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_viv-shim"));
    let output = command.arg("digest").args(files).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (lines.collect(), output.status.success())
}

/// The figures are those of another implementation, fed by hand.
#[test]
fn a_digest_is_of_the_blocks_that_are_not_zero() {
    let files = Files::new();
    let (empty, holes, zeros) = (
        files.name("empty"),
        files.name("holes"),
        files.name("zeros"),
    );
    fs::write(&empty, "").unwrap();
    let block: Vec<u8> = (0..MIB).map(|n| (n * 7 % 251) as u8).collect();
    let file = File::create(&holes).unwrap();
    file.set_len((3 * MIB + MIB / 2) as u64).unwrap();
    file.write_all_at(&block, 0).unwrap();
    file.write_all_at(&[1], (2 * MIB + 5) as u64).unwrap();
    file.write_all_at(&vec![0xff; MIB / 2], 3 * MIB as u64)
        .unwrap();
    // Reads holes as zeros, and writes them.
    fs::write(&zeros, fs::read(&holes).unwrap()).unwrap();
    let (lines, good) = digest(&[&empty, &holes, &zeros]);
    assert!(good);
    let nothing = "xxh3:99aa06d3014798d86001c324468d497f";
    let something = "xxh3:179e4bf60d440723e0f9e060577bcbcd";
    let length = 3 * MIB + MIB / 2;
    let data = MIB + PAGE + MIB / 2;
    for (line, file, bytes, data_bytes, digest) in [
        (&lines[0], &empty, 0, 0, nothing),
        (&lines[1], &holes, length, data, something),
        (&lines[2], &zeros, length, length, something),
    ] {
        let wanted =
            json!({"file": file, "bytes": bytes, "data_bytes": data_bytes, "digest": digest});
        assert_eq!(*line, wanted);
    }
    file.write_all_at(&[2], (2 * MIB + 5) as u64).unwrap();
    assert_ne!(digest(&[&holes]).0[0]["digest"], something);
    let (lines, good) = digest(&[&files.name("none"), &empty]);
    assert!(!good);
    assert_eq!(lines[0]["error"]["code"], "saved_state_damaged");
    assert_eq!(lines[1]["digest"], nothing);
}

#[test]
fn a_shim_that_runs_says_the_same_of_files_as_the_program() {
    let files = Files::new();
    let (some, none) = (files.name("some"), files.name("none"));
    let file = File::create(&some).unwrap();
    file.set_len(3 * MIB as u64).unwrap();
    file.write_all_at(b"words", MIB as u64 + 77).unwrap();
    let mut machine = Machine::start(MIB, None);
    let told = machine.get("memory_digest", json!({"files": [some, some]}));
    let (lines, _) = digest(&[&some, &some]);
    assert_eq!(told["files"], json!(lines));
    let code = machine.refusal("memory_digest", json!({"files": [some, none]}));
    assert_eq!(code, "saved_state_damaged");
}
