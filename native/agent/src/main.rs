//! `viv-agent`: PID 1 of a Vivarium guest, and the host's hands in it. `docs/protocol.md` is its contract.
//!
//! One thread runs everything that answers the host (`control`), a second one the bulk port, and slow file work gets
//! threads of its own. Nothing here may panic on what a host or an image says: the process is PID 1, and with it the VM dies.

mod access;
mod boot;
mod boot_id;
mod bulk;
mod bus;
mod cgroup;
mod clock;
mod configure;
mod control;
mod cri;
mod disks;
mod environment;
mod etc_files;
mod exec;
mod files;
mod fs;
mod generation;
mod hooks;
mod identity;
mod init;
mod kmsg;
mod link;
mod log_port;
mod network;
mod out_port;
mod out_queue;
mod poll;
mod ports;
mod ring;
mod root_mounts;
mod session;
mod shutdown;
mod signals;
mod sock_diag;
mod spawn;
mod ssh_keys;
mod stats;
mod sys;
mod tar;
mod threads;
mod users;
mod volumes;
mod workload;

fn main() {
    if std::env::args_os()
        .next()
        .is_some_and(|name| name == init::NAME)
    {
        init::run();
    }
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == init::NOTHING)
    {
        let words: Vec<String> = std::env::args().skip(2).collect();
        if !words.is_empty() {
            println!("{}", words.join(" "));
        }
        return;
    }
    if std::process::id() != 1 {
        eprintln!(
            "viv-agent runs as the first process of a Vivarium guest; there is nothing to do here."
        );
        std::process::exit(2);
    }
    let ports = boot::run();
    control::run(ports);
}
