const NAMES: [(&str, i32); 31] = [
    ("SIGHUP", libc::SIGHUP),
    ("SIGINT", libc::SIGINT),
    ("SIGQUIT", libc::SIGQUIT),
    ("SIGILL", libc::SIGILL),
    ("SIGTRAP", libc::SIGTRAP),
    ("SIGABRT", libc::SIGABRT),
    ("SIGBUS", libc::SIGBUS),
    ("SIGFPE", libc::SIGFPE),
    ("SIGKILL", libc::SIGKILL),
    ("SIGUSR1", libc::SIGUSR1),
    ("SIGSEGV", libc::SIGSEGV),
    ("SIGUSR2", libc::SIGUSR2),
    ("SIGPIPE", libc::SIGPIPE),
    ("SIGALRM", libc::SIGALRM),
    ("SIGTERM", libc::SIGTERM),
    ("SIGSTKFLT", libc::SIGSTKFLT),
    ("SIGCHLD", libc::SIGCHLD),
    ("SIGCONT", libc::SIGCONT),
    ("SIGSTOP", libc::SIGSTOP),
    ("SIGTSTP", libc::SIGTSTP),
    ("SIGTTIN", libc::SIGTTIN),
    ("SIGTTOU", libc::SIGTTOU),
    ("SIGURG", libc::SIGURG),
    ("SIGXCPU", libc::SIGXCPU),
    ("SIGXFSZ", libc::SIGXFSZ),
    ("SIGVTALRM", libc::SIGVTALRM),
    ("SIGPROF", libc::SIGPROF),
    ("SIGWINCH", libc::SIGWINCH),
    ("SIGIO", libc::SIGIO),
    ("SIGPWR", libc::SIGPWR),
    ("SIGSYS", libc::SIGSYS),
];

/// First real-time signal as programs count them: the C library keeps 32 and 33 for itself.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`, `SIGRTMAX-1`.
pub fn number(name: &str) -> Option<i32> {
    let short = name.strip_prefix("SIG").unwrap_or(name);
    let in_range = |number: i32| (1..=RTMAX).contains(&number).then_some(number);
    if let Ok(number) = short.parse::<i32>() {
        return in_range(number);
    }
    if let Some(offset) = short.strip_prefix("RTMIN") {
        let offset = if offset.is_empty() {
            0
        } else {
            offset.strip_prefix('+')?.parse().ok()?
        };
        return in_range(RTMIN.checked_add(offset)?);
    }
    if let Some(offset) = short.strip_prefix("RTMAX") {
        let offset = if offset.is_empty() {
            0
        } else {
            offset.strip_prefix('-')?.parse::<i32>().ok()?
        };
        return in_range(RTMAX.checked_sub(offset)?).filter(|number| *number >= RTMIN);
    }
    NAMES
        .iter()
        .find(|(known, _)| known[3..] == *short)
        .map(|(_, number)| *number)
}

pub fn name(number: i32) -> String {
    match NAMES.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => (*name).to_owned(),
        None if number >= RTMIN => format!("SIGRTMIN+{}", number - RTMIN),
        None => format!("SIG{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_number_and_offset() {
        assert_eq!(number("SIGTERM"), Some(15));
        assert_eq!(number("KILL"), Some(9));
        assert_eq!(number("2"), Some(2));
        assert_eq!(number("SIGRTMIN+3"), Some(37));
        assert_eq!(number("SIGRTMAX-1"), Some(63));
        for wrong in [
            "",
            "SIG",
            "SIGNOPE",
            "0",
            "65",
            "-1",
            "RTMIN+99",
            "RTMIN+2147483647",
            "RTMAX-60",
        ] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
        assert_eq!(name(9), "SIGKILL");
        assert_eq!(number(&name(40)), Some(40));
    }
}
