//! `viv-shim DIR`: parent of one VMM. The contract is docs/shim.md.
//!
//! One thread and one `poll` loop, and a second thread only while memory is copied or a guest is let
//! go that its daemon has left standing: a shim must cost next to nothing, and everything it holds is bounded.

mod bucket;
mod console;
mod control;
mod descriptors;
mod embryo;
mod ending;
mod failure;
mod files;
mod guard;
mod handover;
mod hold;
mod identity;
mod launch;
mod lines;
mod logs;
mod memory;
mod ports;
mod relay;
mod requests;
mod start;
mod supervisor;
mod traffic;
mod tsc;
mod vmm;

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let [word, dir, holding] = arguments.as_slice() {
        if word == "hold" {
            return hold::exit_code(hold::main(Path::new(dir), holding));
        }
    }
    let embryo = embryo::Embryo::inherited();
    if let Err(failure) = descriptors::sanitise(embryo.is_some()) {
        say(&failure.announcement());
        return ExitCode::FAILURE;
    }
    let dir = match arguments.as_slice() {
        [word] if word == "tsc" => {
            say(&tsc::line());
            return ExitCode::SUCCESS;
        }
        [word, qemu, room] if word == "zygote" => return become_zygote(qemu, room),
        [dir] if dir != "digest" => dir,
        [word, files @ ..] if word == "digest" && !files.is_empty() => return digest(files),
        _ => {
            eprintln!(
                "usage: viv-shim DIR | viv-shim hold DIR HOLDING | viv-shim digest FILE... | viv-shim tsc | viv-shim zygote QEMU ROOM"
            );
            return ExitCode::from(2);
        }
    };
    if dir == "--version" {
        println!("viv-shim {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    match start::start(Path::new(dir), embryo) {
        Ok(started) => {
            say(&started.announcement);
            descriptors::let_go_of_launcher(!started.supervisor.watch_stdin);
            started.supervisor.run()
        }
        Err(failure) => {
            say(&failure.announcement());
            ExitCode::FAILURE
        }
    }
}

/// With nothing open that whoever started us had: its VMMs would have it for as long as they live. What makes a zygote of it is in the
/// environment (docs/zygote.md).
fn become_zygote(qemu: &OsString, room: &OsString) -> ExitCode {
    descriptors::leave_reserved();
    let error = Command::new(qemu).arg(room).exec();
    eprintln!("viv-shim: {}: {error}", qemu.to_string_lossy());
    ExitCode::FAILURE
}

fn digest(files: &[OsString]) -> ExitCode {
    let mut all = true;
    for file in files {
        let (line, read) = memory::digest::line(Path::new(file));
        say(&line);
        all &= read;
    }
    if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The launcher may be gone already; then nobody needs the line, and the VM can still be adopted.
fn say(line: &serde_json::Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
