use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::OnceLock;

static KMSG: OnceLock<Option<File>> = OnceLock::new();

fn write(level: u8, text: &str) {
    let file = KMSG.get_or_init(|| OpenOptions::new().write(true).open("/dev/kmsg").ok());
    if let Some(mut file) = file.as_ref() {
        // The kernel's log is the last resort: where it can't be written nobody is left to be told.
        // In one write: each is a record of its own, and only the one with the level in front has that level.
        let _nobody_to_tell = file.write_all(format!("<{level}>viv-agent: {text}\n").as_bytes());
    }
}

/// A line in the kernel's log, which is the VM's console.
pub fn note(text: &str) {
    write(6, text);
}

/// One line for whoever watches the console of a healthy guest; visible also when the kernel is `quiet`.
pub fn announce(text: &str) {
    write(3, text);
}

/// As [`note`], and visible on the console also when the kernel is `quiet`.
pub fn fail(text: &str) {
    write(3, text);
}
