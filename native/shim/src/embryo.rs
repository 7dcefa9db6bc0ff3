//! A process that has all of its start behind it but its command line, where a zygote has put one below this shim (docs/zygote.md).

use crate::descriptors::{close_on_exec, TO_VMM};
use crate::launch::Launch;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::UnixStream;

/// Its pid.
const VARIABLE: &str = "VIV_VMM";

pub struct Embryo {
    pub pid: i32,
    socket: UnixStream,
}

impl Embryo {
    /// Asked once, before this process opens anything.
    pub fn inherited() -> Option<Embryo> {
        let pid = std::env::var(VARIABLE).ok()?.parse().ok()?;
        close_on_exec(TO_VMM);
        // SAFETY: whoever set the variable has put it there for us.
        let socket = unsafe { UnixStream::from_raw_fd(TO_VMM) };
        Some(Embryo { pid, socket })
    }

    /// From here on it is the VMM. `output`: its stdout and stderr; `numbered`: what it finds at 3, 4 and so on.
    pub fn order(
        mut self,
        argv: &[String],
        launch: &Launch,
        output: RawFd,
        numbered: &[RawFd],
    ) -> io::Result<()> {
        let directory = File::open(".")?;
        let environment = launch
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let bytes = encode(argv, environment.collect())?;
        let mut descriptors = vec![directory.as_raw_fd(), output];
        descriptors.extend(numbered);
        let sent = viv_unix::send(&self.socket, &bytes, &descriptors)?;
        self.socket.write_all(&bytes[sent..])
    }
}

/// As docs/zygote.md has it.
fn encode(argv: &[String], environment: Vec<String>) -> io::Result<Vec<u8>> {
    let mut strings = Vec::new();
    for string in argv.iter().chain(&environment) {
        strings.extend(CString::new(string.as_str())?.into_bytes_with_nul());
    }
    let numbers = [strings.len() + 8, argv.len(), environment.len()];
    let mut bytes: Vec<u8> = numbers
        .iter()
        .flat_map(|number| (*number as u32).to_le_bytes())
        .collect();
    bytes.extend(strings);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_says_how_long_it_is_and_what_is_in_it() {
        let argv = ["qemu", "", "-S"].map(str::to_owned);
        let bytes = encode(&argv, vec!["A=b".to_owned()]).unwrap();
        assert_eq!(bytes[..12], [21, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(bytes[12..], *b"qemu\0\0-S\0A=b\0");
    }
}
