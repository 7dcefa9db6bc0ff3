//! From what a host asks for to a running process with its streams.

use crate::access::guest_error;
use crate::environment::{self, Pairs};
use crate::session::{Input, Output, Session};
use crate::spawn::{Failure, Place, Plan, Program, Spawner, Step};
use crate::{sys, users};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use viv_protocol::{Code, Fields, WireError};

/// Rows and columns of a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub rows: u16,
    pub cols: u16,
}

impl Size {
    pub fn read(fields: &Fields<'_>) -> Result<Size, WireError> {
        Ok(Size {
            rows: fields.small("rows")?,
            cols: fields.small("cols")?,
        })
    }

    pub fn apply(self, terminal: i32) -> io::Result<()> {
        let mut size = libc::winsize {
            ws_row: self.rows,
            ws_col: self.cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        sys::ioctl_ref(terminal, libc::TIOCSWINSZ, &mut size).map(|_| ())
    }
}

pub struct Request {
    pub exec_id: String,
    pub target: String,
    pub argv: Vec<String>,
    pub env: Pairs,
    pub cwd: String,
    pub user: String,
    pub tty: Option<Size>,
    pub stdin: bool,
    /// Its output gives up its oldest bytes instead of making it wait.
    pub lossy: bool,
}

/// Where it is to run.
pub struct Surroundings<'a> {
    pub root: BorrowedFd<'a>,
    pub place: Place<'a>,
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Environment below the request's own.
    pub env: &'a Pairs,
    /// `/dev/null` of the agent.
    pub null: BorrowedFd<'a>,
}

/// The ends that the process gets; they are closed here once it runs.
struct Ends {
    stdio: [OwnedFd; 3],
}

/// Most bytes of a passwd or group file that are read.
const ACCOUNTS_LIMIT: u64 = 1 << 20;

pub fn start(
    spawner: &mut Spawner,
    request: Request,
    around: Surroundings<'_>,
) -> Result<Session, WireError> {
    let identity = users::resolve(
        &request.user,
        &read_text(around.root, "etc/passwd"),
        &read_text(around.root, "etc/group"),
    )?;
    let env = environment::merge(
        around.env,
        &request.env,
        &identity.home,
        request.tty.is_some(),
    );
    let command = request
        .argv
        .first()
        .ok_or_else(|| WireError::new(Code::InvalidRequest, "argv is empty"))?;
    let path = environment::get(&env, "PATH").unwrap_or(environment::DEFAULT_PATH);
    let candidates = environment::candidates(command, path)?;
    let (mut session, ends) =
        streams(&request, &around, &identity).map_err(|error| guest_error("streams", &error))?;
    let plan = Plan {
        program: Program::Paths(candidates),
        argv: environment::argv_to_c(&request.argv)?,
        env: environment::to_c(&env)?,
        cwd: directory(&request.cwd)?,
        uid: identity.uid,
        gid: identity.gid,
        groups: identity.groups,
        place: around.place,
        cgroup: around.cgroup,
        stdio: [
            ends.stdio[0].as_raw_fd(),
            ends.stdio[1].as_raw_fd(),
            ends.stdio[2].as_raw_fd(),
        ],
        tty: request.tty.is_some(),
    };
    session.pid = spawner
        .spawn(&plan)
        .map_err(|failure| explain(failure, &request, around.root))?;
    Ok(session)
}

fn directory(cwd: &str) -> Result<CString, WireError> {
    let absolute = if cwd.starts_with('/') {
        cwd.to_owned()
    } else {
        format!("/{cwd}")
    };
    CString::new(absolute)
        .map_err(|_| WireError::new(Code::InvalidRequest, "cwd holds a zero byte"))
}

/// A file of the image's; absent, odd or unreadable is the same as empty.
fn read_text(root: BorrowedFd<'_>, path: &str) -> String {
    let mut text = Vec::new();
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
    if let Ok(file) = sys::open_in_root(root, Path::new(path), flags, 0).map(File::from) {
        if file.metadata().is_ok_and(|about| about.is_file()) {
            let _partial_is_fine = file.take(ACCOUNTS_LIMIT).read_to_end(&mut text);
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn streams(
    request: &Request,
    around: &Surroundings<'_>,
    who: &users::Identity,
) -> io::Result<(Session, Ends)> {
    let (input, outputs, ends, terminal) = match request.tty {
        Some(size) => terminal_streams(size, request, around, who)?,
        None => pipe_streams(request, around, who)?,
    };
    let mut session = Session::new(
        &request.exec_id,
        &request.target,
        request.argv.clone(),
        input,
        outputs,
    );
    session.terminal = terminal;
    Ok((session, ends))
}

type Streams = (Input, [Output; 2], Ends, Option<OwnedFd>);

fn pipe_streams(
    request: &Request,
    around: &Surroundings<'_>,
    who: &users::Identity,
) -> io::Result<Streams> {
    let (input, stdin) = if request.stdin {
        let (theirs, ours) = sys::pipe()?;
        sys::set_nonblocking(ours.as_raw_fd())?;
        (Input::new(ours, false), theirs)
    } else {
        (Input::none(), around.null.try_clone_to_owned()?)
    };
    let output = || -> io::Result<(Output, OwnedFd)> {
        let (ours, theirs) = sys::pipe()?;
        sys::set_nonblocking(ours.as_raw_fd())?;
        own(&theirs, who)?;
        Ok((Output::new(ours, request.lossy), theirs))
    };
    if request.stdin {
        own(&stdin, who)?;
    }
    let ((stdout, stdout_end), (stderr, stderr_end)) = (output()?, output()?);
    Ok((
        input,
        [stdout, stderr],
        Ends {
            stdio: [stdin, stdout_end, stderr_end],
        },
        None,
    ))
}

/// So that the user can open `/dev/stdout` anew, or its terminal.
fn own(fd: &OwnedFd, who: &users::Identity) -> io::Result<()> {
    if who.uid == 0 {
        return Ok(());
    }
    // SAFETY: no pointers.
    sys::check(unsafe { libc::fchown(fd.as_raw_fd(), who.uid, who.gid) }).map(|_| ())
}

fn terminal_streams(
    size: Size,
    request: &Request,
    around: &Surroundings<'_>,
    who: &users::Identity,
) -> io::Result<Streams> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK;
    let master = match around.place {
        // Its own devpts is mounted only when the process begins.
        Place::New { .. } | Place::Agent => OwnedFd::from(
            File::options()
                .read(true)
                .write(true)
                .open("/dev/pts/ptmx")?,
        ),
        Place::Inside(_) => sys::open_in_root(around.root, Path::new("dev/pts/ptmx"), flags, 0)?,
    };
    sys::set_nonblocking(master.as_raw_fd())?;
    let mut unlocked: libc::c_int = 0;
    sys::ioctl_ref(master.as_raw_fd(), libc::TIOCSPTLCK, &mut unlocked)?;
    // SAFETY: TIOCGPTPEER takes flags by value and answers a new descriptor.
    let slave = unsafe {
        let fd = sys::check(libc::ioctl(
            master.as_raw_fd(),
            libc::TIOCGPTPEER,
            libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC,
        ))?;
        <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd)
    };
    if who.uid != 0 {
        // SAFETY: no pointers; the group stays `tty`, as login leaves it.
        sys::check(unsafe { libc::fchown(slave.as_raw_fd(), who.uid, u32::MAX) })?;
    }
    size.apply(slave.as_raw_fd())?;
    let input = Input::new(master.try_clone()?, true);
    let output = Output::new(master.try_clone()?, request.lossy);
    let stdio = [slave.try_clone()?, slave.try_clone()?, slave];
    Ok((
        input,
        [output, Output::ended_from_start()],
        Ends { stdio },
        Some(master),
    ))
}

fn explain(failure: Failure, request: &Request, root: BorrowedFd<'_>) -> WireError {
    let error = io::Error::from_raw_os_error(failure.errno);
    let command = request.argv.first().map_or("", String::as_str);
    let told =
        |code: Code, message: String| WireError::new(code, message).with_errno(Some(failure.errno));
    match (failure.step, failure.errno) {
        (Step::Exec, libc::ENOENT | libc::ENOTDIR) if exists(command, root) => told(
            Code::CommandNotFound,
            format!("{command}: its interpreter or loader is not in the image"),
        ),
        (Step::Exec, libc::ENOENT | libc::ENOTDIR) => told(
            Code::CommandNotFound,
            format!("{command}: command not found"),
        ),
        (Step::Exec, _) => told(Code::CommandNotExecutable, format!("{command}: {error}")),
        (Step::Directory, _) => told(
            Code::PathNotFound,
            format!("working directory {}: {error}", request.cwd),
        ),
        (Step::Clone, libc::ENOMEM) | (Step::Namespaces, _) => told(
            Code::Conflict,
            format!("the workload {} has ended: {error}", request.target),
        ),
        (step, _) => guest_error(&format!("starting {command} failed at {step:?}"), &error),
    }
}

fn exists(command: &str, root: BorrowedFd<'_>) -> bool {
    let found = sys::open_in_root(root, Path::new(command), libc::O_PATH, 0).map(File::from);
    command.contains('/')
        && found
            .and_then(|file| file.metadata())
            .is_ok_and(|about| about.mode() & 0o111 != 0)
}
