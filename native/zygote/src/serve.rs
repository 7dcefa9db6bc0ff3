//! The zygote itself: whoever connects is given a shim, and below it a process that waits to be told what VMM to be.

use crate::order::{self, Order};
use crate::system::{child_signals, dev_null, done, own_start_time, put, take_variable, write_all};
use crate::title::Title;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;

const SOCKET: &str = "zygote.sock";
/// Where a shim finds the way to its VMM.
const TO_VMM: RawFd = 6;
/// Descriptors for which a VMM has room from its start. A table that is too small is enlarged in a process with threads, which takes the kernel
/// 20 ms, in which it waits for all of its processors.
const MANY: RawFd = 256;
const LONGEST_DIRECTORY: usize = 4096;
/// Of one that connects and says nothing.
const PATIENCE_SECONDS: libc::time_t = 10;

struct Zygote {
    listener: OwnedFd,
    shim: CString,
}

/// Who this process is after a fork.
enum Became {
    Zygote,
    Embryo(Order),
}

/// Returns only in a process that has been told what to be.
pub fn until_ordered(title: &Title) -> io::Result<Order> {
    let shim = take_variable(c"VIV_ZYGOTE_SHIM")
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "which shim was not said"))?;
    take_variable(c"LD_PRELOAD");
    take_variable(crate::FOR);
    title.set([c"viv-zygote"].into_iter());
    let zygote = Zygote {
        listener: listen()?,
        shim,
    };
    // Every process that is made of this one has a table as large.
    let null = dev_null()?;
    // SAFETY: system calls on plain values; the new descriptor is owned at once. One that may have no more goes without.
    let _room = unsafe {
        done(libc::fcntl(
            null.as_raw_fd(),
            libc::F_DUPFD_CLOEXEC,
            MANY - 1,
        ))
        .map(|fd| OwnedFd::from_raw_fd(fd))
    };
    // Nobody waits for shims.
    child_signals(libc::SIG_IGN);
    println!("ready");
    put(&null, 1)?;
    loop {
        if !zygote.somebody_came()? {
            // Whoever started it is gone.
            // SAFETY: what it leaves is the kernel's to clear up.
            unsafe { libc::_exit(0) };
        }
        // SAFETY: the new descriptor is owned at once.
        let launcher = unsafe {
            let null = std::ptr::null_mut();
            done(libc::accept4(
                zygote.listener.as_raw_fd(),
                null,
                std::ptr::null_mut(),
                libc::SOCK_CLOEXEC,
            ))
            .map(|fd| OwnedFd::from_raw_fd(fd))
        };
        // One that has hung up again.
        let Ok(launcher) = launcher else { continue };
        if let Became::Embryo(order) = zygote.divide(launcher)? {
            return Ok(order);
        }
    }
}

fn listen() -> io::Result<OwnedFd> {
    // A predecessor that was killed has left its own.
    match std::fs::remove_file(SOCKET) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // SAFETY: plain system calls. Whatever is made from here on is this user's only, as a shim has it too.
    unsafe { libc::umask(0o177) };
    Ok(UnixListener::bind(SOCKET)?.into())
}

impl Zygote {
    /// False once its stdin is closed.
    fn somebody_came(&self) -> io::Result<bool> {
        loop {
            let mut polled = [0, self.listener.as_raw_fd()].map(|fd| libc::pollfd {
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

    /// Two forks: the first is to be a shim, and of that the second its VMM, so that it is the shim's child.
    fn divide(&self, launcher: OwnedFd) -> io::Result<Became> {
        // SAFETY: QEMU forks at this point itself (`-daemonize`), and has its thread of this moment made anew in the child.
        match done(unsafe { libc::fork() }) {
            Ok(0) => {}
            Ok(_) => return Ok(Became::Zygote),
            Err(error) => {
                // It hears of it by its own means where it is gone.
                let _ = write_all(&launcher, &failure(&format!("fork: {error}")));
                return Ok(Became::Zygote);
            }
        }
        match self.prepare_shim(&launcher) {
            Ok(Prepared::Embryo { shim, parent }) => {
                drop(launcher);
                await_order(&shim, parent)
            }
            Ok(Prepared::Shim(call)) => Err(call.exec(&launcher)),
            Err(error) => {
                let _ = write_all(&launcher, &failure(&error.to_string()));
                // SAFETY: nothing of this process is anybody's.
                unsafe { libc::_exit(1) }
            }
        }
    }

    fn prepare_shim(&self, launcher: &OwnedFd) -> io::Result<Prepared> {
        child_signals(libc::SIG_DFL);
        // SAFETY: plain system calls.
        let own = unsafe {
            done(libc::setsid())?;
            libc::getpid()
        };
        let started = own_start_time()?;
        let who = format!("{{\"pid\":{own},\"start_time\":{started}}}\n");
        write_all(launcher, who.as_bytes())?;
        let directory = read_line(launcher)?;
        let (shim_end, vmm_end) = std::os::unix::net::UnixStream::pair()?;
        // SAFETY: as above.
        let vmm = done(unsafe { libc::fork() })?;
        if vmm == 0 {
            return Ok(Prepared::Embryo {
                shim: vmm_end.into(),
                parent: own,
            });
        }
        let to_vmm = OwnedFd::from(shim_end);
        put(launcher, 0)?;
        put(launcher, 1)?;
        put(&dev_null()?, 2)?;
        put(&to_vmm, TO_VMM)?;
        if to_vmm.as_raw_fd() == TO_VMM {
            std::mem::forget(to_vmm);
        }
        Ok(Prepared::Shim(ShimCall {
            program: self.shim.clone(),
            directory,
            vmm: CString::new(format!("VIV_VMM={vmm}"))?,
        }))
    }
}

enum Prepared {
    Shim(ShimCall),
    Embryo { shim: OwnedFd, parent: i32 },
}

struct ShimCall {
    program: CString,
    directory: CString,
    vmm: CString,
}

impl ShimCall {
    /// Never returns but with a failure that nobody can be told of any more.
    fn exec(&self, launcher: &OwnedFd) -> io::Error {
        let null = std::ptr::null();
        let argv = [self.program.as_ptr(), self.directory.as_ptr(), null];
        let environment = [self.vmm.as_ptr(), null];
        // SAFETY: both lists end with a null. The process that waits below dies with this one.
        unsafe {
            libc::execve(self.program.as_ptr(), argv.as_ptr(), environment.as_ptr());
        }
        let error = io::Error::last_os_error();
        let _ = write_all(launcher, &failure(&format!("the shim: {error}")));
        // SAFETY: nothing of this process is anybody's.
        unsafe { libc::_exit(1) }
    }
}

/// As a shim announces it (docs/shim.md).
fn failure(why: &str) -> Vec<u8> {
    let why = why.replace(['"', '\\'], "'");
    format!("{{\"ok\":false,\"error\":{{\"code\":\"vmm_failed\",\"message\":\"{why}\"}}}}\n")
        .into_bytes()
}

fn await_order(shim: &OwnedFd, parent: i32) -> io::Result<Became> {
    // SAFETY: plain system calls.
    unsafe {
        done(libc::setsid())?;
        done(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        // It may have died before the death signal was asked for.
        if libc::getppid() != parent {
            libc::_exit(1);
        }
    }
    match order::receive(shim) {
        Ok(Some(order)) => Ok(Became::Embryo(order)),
        // The shim had no use for it.
        // SAFETY: nothing of this process is anybody's.
        Ok(None) => unsafe { libc::_exit(0) },
        Err(error) => Err(error),
    }
}

/// The machine's directory.
fn read_line(from: &OwnedFd) -> io::Result<CString> {
    let patience = libc::timeval {
        tv_sec: PATIENCE_SECONDS,
        tv_usec: 0,
    };
    let mut line = Vec::new();
    // SAFETY: buffers and lengths belong together.
    unsafe {
        let size = size_of_val(&patience) as libc::socklen_t;
        let fd = from.as_raw_fd();
        let option = libc::SO_RCVTIMEO;
        done(libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            option,
            (&raw const patience).cast(),
            size,
        ))?;
        while line.last() != Some(&b'\n') {
            let mut chunk = [0u8; LONGEST_DIRECTORY + 1];
            let read = libc::read(fd, chunk.as_mut_ptr().cast(), chunk.len());
            let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
            line.extend(&chunk[..read]);
            if read == 0 || line.len() > LONGEST_DIRECTORY + 1 {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "no directory was named",
                ));
            }
        }
        let none = libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        };
        done(libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            option,
            (&raw const none).cast(),
            size,
        ))?;
    }
    line.pop();
    Ok(CString::new(line)?)
}
