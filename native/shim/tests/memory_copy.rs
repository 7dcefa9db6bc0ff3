//! A guest's RAM into a file, while it runs and while it stands still.

mod bench;
mod stand_in;

use bench::{fresh_dir, launch_file, until, Bench, PATIENCE};
use serde_json::json;
use stand_in::{base_file, differences, launch, Machine, Random, PAGE};
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

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

    fn base(&self, bytes: usize, seed: u64) -> PathBuf {
        let path = self.0.join(format!("base-{seed}"));
        base_file(&path, bytes, seed);
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_copy_that_was_brought_up_to_date_is_what_the_vmm_has_byte_for_byte() {
    let files = Files::new();
    for seed in 0..10 {
        let mut random = Random(seed);
        let bytes = MIB + random.below(3 * MIB / PAGE) * PAGE;
        let base = (seed % 3 != 0).then(|| files.base(bytes, seed));
        let mut machine = Machine::start(bytes, base.as_deref());
        // More than once: what the first copy took may have been given back before the second.
        for round in 0..3 {
            let into = machine.file(&format!("memory-{round}"));
            machine.tell(&format!(
                "dirty {} {}",
                random.next() >> 1,
                1 + random.below(60)
            ));
            let mut ask = json!({"into": into});
            if let Some(base) = &base {
                ask["base"] = json!(base);
            }
            machine.get("memory_copy", ask);
            machine.tell(&format!(
                "dirty {} {}",
                random.next() >> 1,
                1 + random.below(60)
            ));
            let before = fs::read(&into).unwrap();
            let updated = machine.get("memory_update", json!({"into": into}));
            let view = machine.view();
            assert_eq!(
                differences(&fs::read(&into).unwrap(), &view).len(),
                0,
                "seed {seed}, round {round}"
            );
            assert_eq!(updated["pages"], differences(&before, &view).len());
            let mode = fs::metadata(&into).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o400);
        }
    }
}

#[test]
fn zeros_become_holes() {
    let files = Files::new();
    let base = files.base(4 * MIB, 1);
    let data = |path: &Path| fs::metadata(path).unwrap().blocks() * 512;
    let mut machine = Machine::start(4 * MIB, Some(&base));
    machine.tell("write 0 1000 0");
    machine.tell("write 10 3 7");
    let into = machine.file("memory");
    let copied = machine.get("memory_copy", json!({"base": base, "into": into}));
    assert_eq!(copied["pages"], 1000);
    assert!(data(&into) <= 27 * PAGE as u64, "{}", data(&into));
    assert!(copied["data_bytes"].as_u64().unwrap() <= 27 * PAGE as u64);
    machine.tell("write 100 50 7");
    machine.tell("write 10 3 0");
    machine.get("memory_update", json!({"into": into}));
    machine.is_in(&into);

    let mut machine = Machine::start(4 * MIB, None);
    machine.tell("write 0 1024 0");
    let into = machine.file("memory");
    let copied = machine.get("memory_copy", json!({"into": into}));
    assert_eq!(copied, json!({"pages": 1024, "data_bytes": 0}));
    machine.tell("write 0 100 1");
    machine.get("memory_update", json!({"into": into}));
    assert_eq!(data(&into), 100 * PAGE as u64);
}

#[test]
fn many_zeros_become_a_hole_in_the_pause_too() {
    let mut machine = Machine::start(4 * MIB, None);
    machine.tell("write 0 200 9");
    let into = machine.file("memory");
    machine.get("memory_copy", json!({"into": into}));
    machine.tell("write 50 100 0");
    let updated = machine.get("memory_update", json!({"into": into}));
    assert_eq!(updated["pages"], 100);
    assert_eq!(
        fs::metadata(&into).unwrap().blocks() * 512,
        100 * PAGE as u64
    );
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_left() {
    let files = Files::new();
    let base = files.base(2 * MIB, 3);
    let mut machine = Machine::start(2 * MIB, Some(&base));
    let into = machine.file("memory");
    let good = machine.params(json!({"base": base, "into": into}));
    let taken = machine.file("launch.json");
    for (key, value, code) in [
        (
            "base",
            json!(files.base(2 * MIB - PAGE, 4)),
            "saved_state_damaged",
        ),
        (
            "base",
            json!(files.base(2 * MIB + PAGE, 5)),
            "saved_state_damaged",
        ),
        ("base", json!("/nowhere/at/all"), "saved_state_damaged"),
        ("base", json!(null), "invalid_request"),
        ("base", json!(7), "invalid_request"),
        ("into", json!(taken), "conflict"),
        ("into", json!("/nowhere/at/all"), "vmm_failed"),
        ("address", json!(4096), "invalid_request"),
        (
            "address",
            json!(good["address"].as_u64().unwrap() + 1),
            "invalid_request",
        ),
        ("bytes", json!(1000), "invalid_request"),
        ("bytes", json!(0), "invalid_request"),
        ("bytes", json!(-4096), "invalid_request"),
        ("bytes", json!(u64::MAX - 4095), "invalid_request"),
    ] {
        assert_eq!(
            machine.refusal(
                "memory_copy",
                json!({"base": base, "into": into, key: value})
            ),
            code,
            "{key}: {value}"
        );
        assert!(!into.exists());
    }
    assert!(taken.exists());
    // Where no file is mapped there is no base.
    let mut plain = Machine::start(2 * MIB, None);
    assert_eq!(
        plain.refusal("memory_copy", json!({"base": base, "into": into})),
        "invalid_request"
    );
}

#[test]
fn only_the_last_copy_can_be_brought_up_to_date_and_only_once() {
    let mut machine = Machine::start(MIB, None);
    machine.tell("write 0 9 1");
    let (first, second) = (machine.file("first"), machine.file("second"));
    assert_eq!(
        machine.refusal("memory_update", json!({"into": first})),
        "saved_state_damaged"
    );
    machine.get("memory_copy", json!({"into": first}));
    machine.get("memory_copy", json!({"into": second}));
    assert_eq!(
        machine.refusal("memory_update", json!({"into": first})),
        "conflict"
    );
    assert!(first.exists());
    machine.get("memory_update", json!({"into": second}));
    fs::set_permissions(&second, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(
        machine.refusal("memory_update", json!({"into": second})),
        "conflict"
    );
    assert!(second.exists());
}

#[test]
fn one_copy_at_a_time_and_everything_else_is_served_meanwhile() {
    let mut machine = Machine::start(128 * MIB, None);
    machine.tell("scatter 1 32000");
    let (first, second) = (machine.file("first"), machine.file("second"));
    let mut other = machine.bench.connect();
    other.call("status", json!({}));
    let params = machine.params(json!({"into": first}));
    machine
        .client
        .send(&json!({"id": 1, "method": "memory_copy", "params": params}));
    let params = machine.params(json!({"into": second}));
    machine
        .client
        .send(&json!({"id": 2, "method": "memory_copy", "params": params}));
    machine.client.send(&json!({"id": 3, "method": "status"}));
    let refused = machine.client.next();
    assert_eq!(
        (&refused["id"], &refused["error"]["code"]),
        (&json!(2), &json!("busy"))
    );
    assert_eq!(machine.client.next()["id"], 3);
    assert_eq!(other.call("status", json!({}))["result"]["running"], true);
    let done = machine.client.next();
    assert_eq!(
        (&done["id"], &done["result"]["pages"]),
        (&json!(1), &json!(32000))
    );
    assert!(!second.exists());
}

#[test]
fn copying_takes_little_memory_and_gives_it_back() {
    let mut machine = Machine::start(64 * MIB, None);
    machine.tell("scatter 1 16000");
    let before = machine.bench.allocated_kib();
    for round in 0..3 {
        let into = machine.file(&format!("memory-{round}"));
        machine.get("memory_copy", json!({"into": into}));
        machine.get("memory_update", json!({"into": into}));
        machine.get("memory_differ", json!({"base": into, "most_pages": 1}));
    }
    let (peak, after) = (machine.bench.peak_kib(), machine.bench.allocated_kib());
    assert!(peak < 8 * 1024, "{peak} KiB");
    // Beside what is remembered of each page, 16 bytes.
    assert!(
        after < before + 256 + 16 * 16,
        "{before} KiB, then {after} KiB"
    );
    assert_eq!(machine.bench.threads(), 1);
}

#[test]
fn a_copy_goes_on_when_its_client_has_gone() {
    let mut machine = Machine::start(16 * MIB, None);
    machine.tell("scatter 1 4000");
    let into = machine.file("memory");
    let params = machine.params(json!({"into": into}));
    machine
        .bench
        .connect()
        .send(&json!({"id": 1, "method": "memory_copy", "params": params}));
    until("the copy to begin", || into.exists().then_some(()));
    until("the end of the copy", || {
        let answer = machine.ask("memory_update", json!({"into": into}));
        answer["result"].is_object().then_some(())
    });
    machine.is_in(&into);
}

#[test]
fn a_vmm_that_is_killed_ends_its_copy_and_what_was_written_is_removed() {
    let mut machine = Machine::start(256 * MIB, None);
    machine.tell("scatter 1 65536");
    let into = machine.file("memory");
    let mut killer = machine.bench.connect();
    let params = machine.params(json!({"into": into}));
    machine
        .client
        .send(&json!({"id": 1, "method": "memory_copy", "params": params}));
    until("the copy to begin", || into.exists().then_some(()));
    let killed = Instant::now();
    killer.send(&json!({"id": 2, "method": "kill"}));
    let answer = machine.client.next();
    assert_eq!(answer["error"]["code"], "vmm_failed", "{answer}");
    assert!(answer["error"]["message"]
        .as_str()
        .unwrap()
        .contains("has ended"));
    assert_eq!(killer.next(), json!({"id": 2, "result": {}}));
    assert!(killed.elapsed() < PATIENCE / 5, "{:?}", killed.elapsed());
    assert!(!into.exists());
    assert!(machine.bench.wait().success());
    assert_eq!(machine.bench.exit()["signal"], "SIGKILL");
}

/// 1 MiB of room, for as long as it lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Result<SmallDisk, std::io::Error> {
        fs::create_dir(at)?;
        let path = CString::new(at.as_os_str().as_bytes())?;
        let (kind, size) = (c"tmpfs".as_ptr(), c"size=1m".as_ptr());
        // SAFETY: strings that live until the call returns.
        match unsafe { libc::mount(kind, path.as_ptr(), kind, 0, size.cast()) } {
            0 => Ok(SmallDisk(at.to_owned())),
            _ => Err(std::io::Error::last_os_error()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let path = CString::new(self.0.as_os_str().as_bytes()).unwrap();
        // SAFETY: a string that lives until the call returns.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
}

#[test]
fn a_full_disk_is_told_and_what_was_written_is_removed() {
    let mut machine = Machine::start(40 * MIB, None);
    let disk = match SmallDisk::mount(&machine.file("small")) {
        Ok(disk) => disk,
        Err(error) => return eprintln!("not tested, only root may mount: {error}"),
    };
    let into = disk.0.join("memory");
    machine.tell("scatter 1 1000");
    assert_eq!(
        machine.refusal("memory_copy", json!({"into": into})),
        "disk_full"
    );
    assert!(!into.exists());
    machine.tell("write 0 10240 0");
    machine.get("memory_copy", json!({"into": into}));
    machine.tell("scatter 1 1000");
    assert_eq!(
        machine.refusal("memory_update", json!({"into": into})),
        "disk_full"
    );
    assert!(!into.exists());
    let files = Files::new();
    let mut machine = Machine::start(4 * MIB, Some(&files.base(4 * MIB, 1)));
    let ask = json!({"into": into, "base": files.0.join("base-1")});
    assert_eq!(machine.refusal("memory_copy", ask), "disk_full");
    assert!(!into.exists());
}

#[test]
fn a_base_on_another_file_system_is_copied_too() {
    let files = Files::new();
    let base = files.base(MIB / 2, 1);
    let mut machine = Machine::start(MIB / 2, Some(&base));
    let disk = match SmallDisk::mount(&machine.file("small")) {
        Ok(disk) => disk,
        Err(error) => return eprintln!("not tested, only root may mount: {error}"),
    };
    let into = disk.0.join("memory");
    machine.get("memory_copy", json!({"base": base, "into": into}));
    machine.is_in(&into);
}

#[test]
fn a_vmm_that_may_not_be_looked_into_is_not_supported() {
    let dir = fresh_dir();
    fs::write(
        dir.join("launch.json"),
        launch_file("", &launch()).to_string(),
    )
    .unwrap();
    let mut shim = Command::new(env!("CARGO_BIN_EXE_viv-shim"));
    // Root may look into everything, unless it has lost the right to.
    // SAFETY: one system call; without the right to make it there is nothing to lose.
    unsafe {
        shim.pre_exec(|| {
            libc::prctl(libc::PR_CAPBSET_DROP, 19 /* CAP_SYS_PTRACE */, 0, 0, 0);
            Ok(())
        });
    }
    let mut machine = Machine::of(Bench::spawn_as(shim, dir), MIB, None);
    let into = machine.file("memory");
    machine.tell("write 0 1 1");
    machine.tell("hide");
    assert_eq!(
        machine.refusal("memory_copy", json!({"into": into})),
        "not_supported"
    );
    assert!(!into.exists());
}
