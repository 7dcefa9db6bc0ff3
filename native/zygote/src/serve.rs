//! The zygote itself: whoever connects is given a shim, and below it a process that waits to be told what VMM to be.

use crate::order::{self, Order};
use crate::system::{dev_null, done, own_start_time, put, signal, take_variable};
use crate::title::Title;
use std::ffi::CString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

const SOCKET: &str = "zygote.sock";
/// Where a shim finds the way to its VMM.
const TO_VMM: RawFd = 6;
/// Descriptors for which a VMM has room from its start. A table that is too small is enlarged in a process with threads, which takes the kernel
/// 20 ms, in which it waits for all of its processors.
const MANY: RawFd = 256;
const LONGEST_DIRECTORY: u64 = 4096;
/// Of one that connects and says nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Returns only in a process that has been told what to be.
pub fn until_ordered(title: &Title) -> io::Result<Order> {
    let shim = take_variable(c"VIV_ZYGOTE_SHIM")
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "which shim was not said"))?;
    take_variable(c"LD_PRELOAD");
    take_variable(crate::FOR);
    title.set([c"viv-zygote"].into_iter());
    let listener = listen()?;
    let null = dev_null()?;
    // Every process that is made of this one has a table as large.
    let room = make_room(&null);
    // Nobody waits for shims. A launcher that has gone is heard of where it is written to; QEMU and shim ignore that signal themselves.
    signal(libc::SIGCHLD, libc::SIG_IGN);
    signal(libc::SIGPIPE, libc::SIG_IGN);
    println!("ready");
    put(&null, 1)?;
    loop {
        if !somebody_came(&listener)? {
            // Whoever started it is gone.
            end(0);
        }
        // One may have hung up again.
        let Ok((launcher, _)) = listener.accept() else {
            continue;
        };
        // SAFETY: QEMU forks at this point itself (`-daemonize`), and has its thread of this moment made anew in the child.
        match done(unsafe { libc::fork() }) {
            Ok(0) => {
                // Whoever connects is this zygote's to answer, or nobody's.
                drop(listener);
                let divided = divide(launcher, shim);
                // Not before: the table of a process is as large as what its parent had open.
                drop(room);
                return divided;
            }
            Ok(_) => {}
            Err(error) => tell(&launcher, "vmm_failed", &format!("fork: {error}")),
        }
    }
}

fn listen() -> io::Result<UnixListener> {
    // A predecessor that was killed has left its own.
    match std::fs::remove_file(SOCKET) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // SAFETY: plain system calls. Whatever is made from here on is this user's only, as a shim has it too.
    unsafe { libc::umask(0o177) };
    UnixListener::bind(SOCKET)
}

/// One that may have no more goes without.
fn make_room(null: &OwnedFd) -> Option<OwnedFd> {
    // SAFETY: the new descriptor is owned at once.
    unsafe {
        let fd = libc::fcntl(null.as_raw_fd(), libc::F_DUPFD_CLOEXEC, MANY - 1);
        done(fd).ok().map(|fd| OwnedFd::from_raw_fd(fd))
    }
}

/// False once stdin is closed.
fn somebody_came(listener: &UnixListener) -> io::Result<bool> {
    loop {
        let mut polled = [0, listener.as_raw_fd()].map(|fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        });
        // SAFETY: the array and its length belong together.
        let ready = unsafe { libc::poll(polled.as_mut_ptr(), 2, -1) };
        match done(ready) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
            Ok(_) => return Ok(polled[0].revents == 0),
        }
    }
}

/// Becomes a shim, and below it the embryo, in which alone this returns: of two forks the second is made by the first, so that it is its child.
fn divide(launcher: UnixStream, shim: CString) -> io::Result<Order> {
    let forked = fork_embryo(&launcher);
    match forked {
        Ok(Side::Embryo { shim, parent }) => {
            drop(launcher);
            await_order(&shim, parent)
        }
        Ok(Side::Shim {
            directory,
            vmm,
            to_vmm,
        }) => {
            let error = become_shim(&launcher, &shim, &directory, vmm, to_vmm);
            let missing = error.kind() == io::ErrorKind::NotFound;
            let code = if missing {
                "assets_missing"
            } else {
                "vmm_failed"
            };
            tell(&launcher, code, &format!("the shim: {error}"));
            end(1)
        }
        Err(error) => {
            tell(&launcher, "vmm_failed", &error.to_string());
            end(1)
        }
    }
}

enum Side {
    Shim {
        directory: CString,
        vmm: i32,
        to_vmm: UnixStream,
    },
    Embryo {
        shim: UnixStream,
        parent: i32,
    },
}

fn fork_embryo(mut launcher: &UnixStream) -> io::Result<Side> {
    signal(libc::SIGCHLD, libc::SIG_DFL);
    // SAFETY: plain system calls.
    let own = unsafe {
        done(libc::setsid())?;
        libc::getpid()
    };
    let started = own_start_time()?;
    launcher.write_all(format!("{{\"pid\":{own},\"start_time\":{started}}}\n").as_bytes())?;
    let directory = read_line(launcher)?;
    let (to_vmm, shim) = UnixStream::pair()?;
    // SAFETY: as above.
    match done(unsafe { libc::fork() })? {
        0 => Ok(Side::Embryo { shim, parent: own }),
        vmm => Ok(Side::Shim {
            directory,
            vmm,
            to_vmm,
        }),
    }
}

/// The machine's directory.
fn read_line(from: &UnixStream) -> io::Result<CString> {
    from.set_read_timeout(Some(PATIENCE))?;
    let mut line = Vec::new();
    BufReader::new(from.take(LONGEST_DIRECTORY)).read_until(b'\n', &mut line)?;
    from.set_read_timeout(None)?;
    match line.pop() {
        Some(b'\n') => Ok(CString::new(line)?),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "no directory was named",
        )),
    }
}

/// Returns only where that fails. The process that waits below dies with this one.
fn become_shim(
    launcher: &UnixStream,
    program: &CString,
    directory: &CString,
    vmm: i32,
    to_vmm: UnixStream,
) -> io::Error {
    let placed = (|| {
        put(launcher, 0)?;
        put(launcher, 1)?;
        put(&dev_null()?, 2)?;
        put(&to_vmm.into_raw_fd(), TO_VMM)
    })();
    if let Err(error) = placed {
        return error;
    }
    let vmm = format!("VIV_VMM={vmm}\0");
    let null = std::ptr::null();
    let argv = [program.as_ptr(), directory.as_ptr(), null];
    let environment = [vmm.as_ptr().cast(), null];
    // SAFETY: both lists end with a null, and all of their strings with a NUL.
    unsafe {
        libc::execve(program.as_ptr(), argv.as_ptr(), environment.as_ptr());
    }
    io::Error::last_os_error()
}

/// As a shim announces it (docs/shim.md). A launcher that has gone hears of it by its own means.
fn tell(mut launcher: &UnixStream, code: &str, why: &str) {
    let why = why.replace(['"', '\\'], "'");
    let line =
        format!("{{\"ok\":false,\"error\":{{\"code\":\"{code}\",\"message\":\"{why}\"}}}}\n");
    let _ = launcher.write_all(line.as_bytes());
}

fn await_order(shim: &UnixStream, parent: i32) -> io::Result<Order> {
    // SAFETY: plain system calls.
    unsafe {
        done(libc::setsid())?;
        done(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        // It may have died before the death signal was asked for.
        if libc::getppid() != parent {
            end(1);
        }
    }
    // The shim may have no use for it.
    order::receive(shim)?.map_or_else(|| end(0), Ok)
}

/// Of a process in which nothing is anybody's, and whose ends are QEMU's to write.
fn end(status: i32) -> ! {
    // SAFETY: what it leaves is the kernel's to clear up.
    unsafe { libc::_exit(status) }
}
