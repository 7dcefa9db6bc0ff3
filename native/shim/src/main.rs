//! `viv-shim DIR`: parent of one VMM. The contract is docs/shim.md.
//!
//! One thread and one `poll` loop: a shim must cost next to nothing, and everything it holds is bounded.

mod console;
mod control;
mod descriptors;
mod ending;
mod failure;
mod files;
mod identity;
mod launch;
mod lines;
mod logs;
mod ports;
mod relay;
mod requests;
mod start;
mod supervisor;
mod vmm;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Err(failure) = descriptors::sanitise() {
        say(&failure.announcement());
        return ExitCode::FAILURE;
    }
    let mut arguments = std::env::args_os().skip(1);
    let (Some(dir), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: viv-shim DIR");
        return ExitCode::from(2);
    };
    if dir == "--version" {
        println!("viv-shim {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    match start::start(Path::new(&dir)) {
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

/// The launcher may be gone already; then nobody needs the line, and the VM can still be adopted.
fn say(line: &serde_json::Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
