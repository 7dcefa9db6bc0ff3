//! Who keeps a volume from being unmounted.

use super::spaces;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

/// Named at most; who reads it wants a place to begin.
const MOST_NAMED: usize = 5;

#[derive(Debug, PartialEq, Eq)]
pub struct Holder {
    /// As the workload knows it.
    pid: String,
    name: String,
}

/// Processes with something of that device open, mapped, or as their directory.
pub fn of(number: &str) -> Vec<Holder> {
    let mounts: BTreeSet<String> = spaces::ids_of(number).into_iter().collect();
    let all = spaces::processes().into_iter();
    all.filter(|pid| holds(*pid, &mounts))
        .map(|pid| Holder {
            pid: inner_pid(pid),
            name: fs::read_to_string(format!("/proc/{pid}/comm"))
                .map_or_else(|_| "?".to_owned(), |name| name.trim().to_owned()),
        })
        .collect()
}

fn holds(pid: libc::pid_t, mounts: &BTreeSet<String>) -> bool {
    let named = ["cwd", "root", "exe"].map(|name| format!("/proc/{pid}/{name}"));
    let listed = ["fd", "map_files"].into_iter().flat_map(|kind| {
        let directory = format!("/proc/{pid}/{kind}");
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().to_string_lossy().into_owned())
    });
    named
        .into_iter()
        .chain(listed)
        .any(|link| mount_of(&link).is_some_and(|id| mounts.contains(&id)))
}

/// Id of the mount that a link of `/proc` leads into.
fn mount_of(link: &str) -> Option<String> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(link)
        .ok()?;
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    about
        .lines()
        .find_map(|line| line.strip_prefix("mnt_id:"))
        .map(|id| id.trim().to_owned())
}

/// The number it has in the innermost namespace.
fn inner_pid(pid: libc::pid_t) -> String {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .ok()
        .and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("NSpid:"))?;
            Some(line.split_whitespace().last()?.to_owned())
        })
        .unwrap_or_else(|| pid.to_string())
}

/// ` by sleep (pid 7)`, or nothing where nobody was found.
pub fn told(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return String::new();
    }
    let named: Vec<String> = holders
        .iter()
        .take(MOST_NAMED)
        .map(|holder| format!("{} (pid {})", holder.name, holder.pid))
        .collect();
    let more = holders.len().saturating_sub(MOST_NAMED);
    let rest = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    format!(" by {}{rest}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_are_named_and_the_others_counted() {
        let holders: Vec<Holder> = (1..8)
            .map(|number| Holder {
                pid: number.to_string(),
                name: "sh".to_owned(),
            })
            .collect();
        assert_eq!(told(&holders[..1]), " by sh (pid 1)");
        assert!(told(&holders).ends_with("sh (pid 5) and 2 more"));
        assert_eq!(told(&[]), "");
    }

    #[test]
    fn whoever_has_a_file_open_holds_its_mount() {
        let file = std::env::current_exe().expect("named");
        let id = mount_of(&file.to_string_lossy()).expect("mounted somewhere");
        let own = std::process::id() as libc::pid_t;
        assert!(holds(own, &BTreeSet::from([id])));
        assert!(!holds(own, &BTreeSet::new()));
    }
}
