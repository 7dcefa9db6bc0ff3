//! What a process finds in its environment, and which files its command may be.

use std::ffi::CString;
use viv_protocol::{Code, WireError};

pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub type Pairs = Vec<(String, String)>;

/// `over` wins over `base`; PATH, HOME and (with a terminal) TERM are there in any case.
pub fn merge(base: &Pairs, over: &Pairs, home: &str, tty: bool) -> Pairs {
    let mut merged = base.clone();
    for (key, value) in over {
        set(&mut merged, key, value);
    }
    for (key, value, wanted) in [
        ("PATH", DEFAULT_PATH, true),
        ("HOME", home, true),
        ("TERM", "xterm", tty),
    ] {
        if wanted && get(&merged, key).is_none() {
            merged.push((key.to_owned(), value.to_owned()));
        }
    }
    merged
}

pub fn set(pairs: &mut Pairs, key: &str, value: &str) {
    match pairs.iter_mut().find(|(name, _)| name == key) {
        Some((_, old)) => value.clone_into(old),
        None => pairs.push((key.to_owned(), value.to_owned())),
    }
}

pub fn get<'a>(pairs: &'a Pairs, key: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value.as_str())
}

fn text(value: String, what: &str) -> Result<CString, WireError> {
    CString::new(value)
        .map_err(|_| WireError::new(Code::InvalidRequest, format!("{what} holds a zero byte")))
}

pub fn to_c(pairs: &Pairs) -> Result<Vec<CString>, WireError> {
    pairs
        .iter()
        .map(|(key, value)| {
            if key.is_empty() || key.contains('=') {
                return Err(WireError::new(
                    Code::InvalidRequest,
                    format!("{key:?} is no name of a variable"),
                ));
            }
            text(format!("{key}={value}"), "the environment")
        })
        .collect()
}

pub fn argv_to_c(argv: &[String]) -> Result<Vec<CString>, WireError> {
    argv.iter()
        .map(|argument| text(argument.clone(), "an argument"))
        .collect()
}

/// The files a command name may mean, in order: itself when it holds a slash, else one for each part of PATH.
pub fn candidates(command: &str, path: &str) -> Result<Vec<CString>, WireError> {
    if command.is_empty() {
        return Err(WireError::new(
            Code::CommandNotFound,
            "the command is empty",
        ));
    }
    if command.contains('/') {
        return Ok(vec![text(command.to_owned(), "the command")?]);
    }
    let file = |part: &str| {
        if part.is_empty() {
            format!("./{command}")
        } else {
            format!("{part}/{command}")
        }
    };
    path.split(':')
        .map(|part| text(file(part), "the command"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Pairs {
        list.iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn what_is_given_wins_and_what_is_missing_is_filled_in() {
        let merged = merge(
            &pairs(&[("A", "1"), ("PATH", "/x")]),
            &pairs(&[("A", "2"), ("B", "3")]),
            "/root",
            true,
        );
        assert_eq!(
            merged,
            pairs(&[
                ("A", "2"),
                ("PATH", "/x"),
                ("B", "3"),
                ("HOME", "/root"),
                ("TERM", "xterm")
            ])
        );
        assert_eq!(
            get(&merge(&pairs(&[]), &pairs(&[]), "/", false), "TERM"),
            None
        );
    }

    #[test]
    fn commands_are_searched_where_path_says() {
        let found = candidates("ls", "/a::/b").unwrap();
        assert_eq!(
            found,
            [c"/a/ls".to_owned(), c"./ls".to_owned(), c"/b/ls".to_owned()]
        );
        assert_eq!(candidates("./ls", "/a").unwrap(), [c"./ls".to_owned()]);
        assert_eq!(
            candidates("", "/a").unwrap_err().code,
            Code::CommandNotFound
        );
        assert_eq!(
            candidates("a\0b", "/a").unwrap_err().code,
            Code::InvalidRequest
        );
    }

    #[test]
    fn names_that_are_no_names_are_refused() {
        assert!(to_c(&pairs(&[("A=B", "1")])).is_err());
        assert!(to_c(&pairs(&[("", "1")])).is_err());
        assert!(to_c(&pairs(&[("A", "x\0y")])).is_err());
    }
}
