//! `viv-shim DIR`: parent of one VMM. The contract is docs/shim.md.
//!
//! One thread and one `poll` loop, and a second thread only while memory is copied or a guest is let
//! go that its daemon has left standing: a shim must cost next to nothing, and everything it holds is bounded.

mod bucket;
mod console;
mod control;
mod descriptors;
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
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let [word, dir, holding] = arguments.as_slice() {
        if word == "hold" {
            return hold::exit_code(hold::main(Path::new(dir), holding));
        }
    }
    if let Err(failure) = descriptors::sanitise() {
        say(&failure.announcement());
        return ExitCode::FAILURE;
    }
    let dir = match arguments.as_slice() {
        [word] if word == "tsc" => {
            say(&tsc::line());
            return ExitCode::SUCCESS;
        }
        [dir] if dir != "digest" => dir,
        [word, files @ ..] if word == "digest" && !files.is_empty() => return digest(files),
        _ => {
            eprintln!(
                "usage: viv-shim DIR | viv-shim hold DIR HOLDING | viv-shim digest FILE... | viv-shim tsc"
            );
            return ExitCode::from(2);
        }
    };
    if dir == "--version" {
        println!("viv-shim {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    match start::start(Path::new(dir)) {
        Ok(started) => {
            say(&started.announcement);
            descriptors::close_stdout();
            started.supervisor.run()
        }
        Err(failure) => {
            say(&failure.announcement());
            ExitCode::FAILURE
        }
    }
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
