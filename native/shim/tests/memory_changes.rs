//! Whatever has changed is found, wherever it is, and of whichever file something is known.

mod bench;
mod stand_in;

use serde_json::json;
use stand_in::{base_file, differences, Machine, Random, PAGE};
use std::collections::BTreeSet;
use std::fs;

const MIB: usize = 1 << 20;
/// What one thread takes at a time.
const SHARE: usize = 16 * MIB;

#[test]
fn stands_in_for_the_vmm() {
    stand_in::act_where_told();
}

/// At the ends of pages, of what is compared at once and of what a thread takes, and anywhere.
fn places(bytes: usize, random: &mut Random) -> Vec<usize> {
    let mut places = vec![0, bytes - 1];
    for step in [SHARE, 2 * MIB, 128 * PAGE, 64 * PAGE, PAGE] {
        let border = (1 + random.below((bytes - 1) / step)) * step;
        places.extend([border - 1, border]);
    }
    places.extend((SHARE..bytes).step_by(SHARE).flat_map(|at| [at - 1, at]));
    places.extend((0..20).map(|_| random.below(bytes)));
    places
}

/// Pages in which a bit has changed.
fn flip(machine: &mut Machine, random: &mut Random, bytes: usize) -> BTreeSet<u64> {
    let mut flipped = BTreeSet::new();
    let mut pages = BTreeSet::new();
    for place in places(bytes, random) {
        // Twice would be not at all.
        if flipped.insert(place) {
            machine.tell(&format!("flip {place} {}", 1 << random.below(8)));
            pages.insert((place / PAGE) as u64);
        }
    }
    pages
}

#[test]
fn a_bit_that_has_changed_anywhere_is_found() {
    for (seed, bytes) in [3 * SHARE, 2 * SHARE + PAGE, 2 * SHARE + 7 * MIB - PAGE]
        .into_iter()
        .enumerate()
    {
        let mut random = Random(seed as u64);
        let mut machine = Machine::start(bytes, None);
        machine.tell(&format!("scatter {seed} {}", bytes / PAGE - 99 * seed));
        let (memory, delta) = (machine.file("memory"), machine.file("delta"));
        machine.get("memory_copy", json!({"into": memory}));
        let changed = flip(&mut machine, &mut random, bytes);
        let updated = machine.get("memory_update", json!({"into": memory}));
        assert_eq!(updated["pages"], changed.len(), "seed {seed}");
        machine.is_in(&memory);

        let most = json!({"base": memory, "into": delta, "most_pages": 1000});
        assert_eq!(machine.get("memory_differ", most.clone())["pages"], 0);
        let changed: Vec<u64> = flip(&mut machine, &mut random, bytes).into_iter().collect();
        assert_eq!(
            machine.get("memory_differ", most.clone())["pages"],
            changed.len()
        );
        machine.get("memory_delta", most);
        let numbers: Vec<u64> = fs::read(&delta).unwrap()[16..][..changed.len() * 8]
            .chunks(8)
            .map(|number| u64::from_le_bytes(number.try_into().unwrap()))
            .collect();
        assert_eq!(numbers, changed, "seed {seed}");
    }
}

#[test]
fn what_is_known_of_one_file_is_not_taken_for_another() {
    let bytes = SHARE + MIB;
    for seed in 0..6 {
        let mut random = Random(seed);
        let mut machine = Machine::start(bytes, None);
        let files: Vec<_> = (0..3)
            .map(|n| machine.file(&format!("memory-{n}")))
            .collect();
        for file in &files[..2] {
            machine.tell(&format!("dirty {} 60", random.next() >> 1));
            machine.get("memory_copy", json!({"into": file}));
            machine.tell(&format!("dirty {} 60", random.next() >> 1));
            machine.get("memory_update", json!({"into": file}));
        }
        machine.tell(&format!("dirty {} 60", random.next() >> 1));
        // A copy that nobody finishes, and one that is finished after others were compared.
        machine.get("memory_copy", json!({"into": files[2]}));
        for _ in 0..6 {
            let base = &files[random.below(3)];
            let wanted = differences(&fs::read(base).unwrap(), &machine.view()).len();
            let found = machine.get("memory_differ", json!({"base": base, "most_pages": 99_999}));
            assert_eq!(found["pages"], wanted, "seed {seed}, {base:?}");
            if random.below(2) == 0 {
                machine.tell(&format!("dirty {} 5", random.next() >> 1));
            }
        }
        machine.get("memory_update", json!({"into": files[2]}));
        machine.is_in(&files[2]);
    }
}

#[test]
fn a_file_that_was_changed_since_is_read() {
    let mut machine = Machine::start(MIB, None);
    machine.tell("write 0 100 3");
    let memory = machine.file("memory");
    machine.get("memory_copy", json!({"into": memory}));
    let mut bytes = fs::read(&memory).unwrap();
    bytes[7 * PAGE] ^= 1;
    fs::write(&memory, &bytes).unwrap();
    assert_eq!(
        machine.get("memory_update", json!({"into": memory}))["pages"],
        1
    );
    machine.is_in(&memory);
}

#[test]
fn a_base_of_which_nothing_is_known_is_read() {
    let bytes = 2 * SHARE + MIB;
    let mut random = Random(5);
    let dir = bench::fresh_dir();
    let base = dir.join("base");
    base_file(&base, bytes, 5);
    let mut machine = Machine::start(bytes, Some(&base));
    machine.tell("scatter 1 8000");
    for _ in 0..3 {
        let wanted = differences(&fs::read(&base).unwrap(), &machine.view()).len();
        let found = machine.get("memory_differ", json!({"base": base, "most_pages": 99_999}));
        assert_eq!(found["pages"], wanted);
        flip(&mut machine, &mut random, bytes);
    }
    fs::remove_dir_all(&dir).unwrap();
}
