//! Who this VM is. Told at boot, and again after every restore or fork: two copies are never the same machine.

use crate::access::guest_error;
use crate::bus::Bus;
use crate::etc_files::{Held, Way};
use crate::network::{Connections, Network, Seen};
use crate::sys::Kept;
use crate::{clock, etc_files, kmsg, sock_diag};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};
use viv_protocol::{Code, Fields, WireError};

pub struct Identity {
    hostname: String,
    /// 32 hexadecimal digits.
    machine_id: String,
    generation: u64,
    entropy: Vec<u8>,
    clock_nanos: u64,
    clock_source: Option<String>,
    network: Option<Network>,
    /// The machine was one of several before: what only one may have is made anew.
    pub copy: bool,
    reset_connections: bool,
    /// There are none to be reset, as is known of a machine that stands still.
    pub unconnected: bool,
    /// What was seen of its card while it stood still.
    pub seen: Option<Seen>,
}

/// Bytes of entropy that the kernel is credited at most.
const MOST_ENTROPY: usize = 4096;
/// `RNDADDENTROPY` and `RNDRESEEDCRNG` of linux/random.h.
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;
/// What the files of the image were made to say last.
static TOLD: Mutex<Vec<(&str, String)>> = Mutex::new(Vec::new());
/// Longest host name of the kernel.
const MOST_HOSTNAME: usize = 64;

fn invalid(what: &str) -> WireError {
    WireError::new(Code::InvalidRequest, what)
}

fn is_hostname(name: &str) -> bool {
    let fits = (1..=MOST_HOSTNAME).contains(&name.len());
    fits && name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

impl Identity {
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    pub fn read(fields: &Fields<'_>) -> Result<Identity, WireError> {
        let hostname = fields.text("hostname")?.to_owned();
        if !is_hostname(&hostname) {
            return Err(invalid(
                "hostname is not 1 to 64 letters, digits, dots and dashes",
            ));
        }
        let machine_id = fields.text("machineId")?.to_owned();
        if machine_id.len() != 32 || !machine_id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid("machineId is not 32 hexadecimal digits"));
        }
        let entropy = fields.bytes("entropy")?;
        Ok(Identity {
            hostname,
            machine_id,
            generation: fields.uint("generation")?,
            entropy: entropy[..entropy.len().min(MOST_ENTROPY)].to_vec(),
            clock_nanos: fields.uint("clockNanos")?,
            clock_source: fields.text_if("clockSource")?.map(str::to_owned),
            network: fields
                .inner_if("network")?
                .map(|network| Network::read(&network))
                .transpose()?,
            copy: fields.flag_if("copy")?.unwrap_or(false),
            reset_connections: fields.flag_if("resetConnections")?.unwrap_or(false),
            unconnected: false,
            seen: None,
        })
    }

    /// What time is counted by from now on, where that was to be changed. Before the clock is set.
    pub fn choose_clock(&self) -> Option<String> {
        self.clock_source.as_deref().map(clock::go_by)
    }

    /// Entropy and clock.
    pub fn seed(&self) -> Result<(), WireError> {
        add_entropy(&self.entropy).map_err(|error| guest_error("entropy", &error))?;
        clock::set(self.clock_nanos).map_err(|error| guest_error("clock", &error))
    }

    /// Host name and machine id, in the kernel and in the files of the image.
    pub fn name(&self, root: Option<&str>, way: Way, held: &Held) -> Result<(), WireError> {
        let name = self.hostname.as_bytes();
        // SAFETY: a buffer of the length that is told.
        crate::sys::check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })
            .map_err(|error| guest_error("hostname", &error))?;
        if let Some(root) = root {
            self.name_in(root, way, held);
        }
        Ok(())
    }

    /// The files. A machine that goes on as the one it was has them as it had them: each costs it milliseconds of overlay
    /// and journal, and what its users have changed in them since is theirs.
    fn name_in(&self, root: &str, way: Way, held: &Held) {
        let address = self.network.as_ref().map(|network| network.address);
        let mut files = vec![
            ("hostname", format!("{}\n", self.hostname)),
            ("hosts", etc_files::hosts(&self.hostname, address)),
            (
                "machine-id",
                format!("{}\n", self.machine_id.to_ascii_lowercase()),
            ),
        ];
        if let Some(network) = &self.network {
            files.push(("resolv.conf", etc_files::resolv_conf(&network.dns)));
        }
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        if *told == files && !self.copy {
            return;
        }
        for (name, text) in &files {
            etc_files::write(root, name, text, way, held);
        }
        *told = files;
    }

    /// Whether the card, where one is wanted, needs no looking for.
    pub fn is_at_hand(&self) -> bool {
        let at_hand = |network: &Network| network.is_at_hand(self.seen.as_ref());
        self.network.as_ref().is_none_or(at_hand)
    }

    /// Brings the card up under its address. What has to be cut off is cut off while it is down.
    pub fn connect(&self, bus: &mut Bus) -> Result<(), WireError> {
        if self.seen.is_none() {
            crate::network::loopback_up().map_err(|error| guest_error("lo", &error))?;
        }
        match &self.network {
            Some(network) => network.apply(bus, self, self.seen.as_ref()),
            None => self.cut(),
        }
        .map_err(|error| guest_error("network card", &error))
    }

    /// Whether the address of the other end is in this machine, and so its connection goes on.
    fn stays(&self, peer: IpAddr) -> bool {
        let own = self.network.as_ref().map(|network| network.address);
        peer.is_loopback() || own.is_some_and(|own| peer == own)
    }
}

impl Connections for Identity {
    fn to_be_cut(&self) -> io::Result<bool> {
        if !self.reset_connections || self.unconnected {
            return Ok(false);
        }
        sock_diag::any_tcp(|peer| self.stays(peer)).map_err(not_reset)
    }

    fn cut(&self) -> io::Result<()> {
        if !self.reset_connections || self.unconnected {
            return Ok(());
        }
        let count = sock_diag::destroy_tcp(|peer| self.stays(peer)).map_err(not_reset)?;
        kmsg::note(&format!("{count} connections to the outside were reset"));
        Ok(())
    }
}

fn not_reset(error: io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("connections cannot be reset: {error}"),
    )
}

fn add_entropy(bytes: &[u8]) -> io::Result<()> {
    static RANDOM: Kept = Kept::new();
    let random = RANDOM.get(|| File::options().write(true).open("/dev/random"))?;
    // `struct rand_pool_info`: bits credited, bytes, and the bytes themselves.
    let bits = i32::try_from(bytes.len() * 8).unwrap_or(i32::MAX);
    let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    let mut info = Vec::with_capacity(8 + bytes.len());
    info.extend_from_slice(&bits.to_ne_bytes());
    info.extend_from_slice(&length.to_ne_bytes());
    info.extend_from_slice(bytes);
    // SAFETY: the buffer is laid out as the request wants it; the second request takes nothing.
    unsafe {
        crate::sys::check(libc::ioctl(
            random.as_raw_fd(),
            RNDADDENTROPY as _,
            info.as_ptr(),
        ))?;
        crate::sys::check(libc::ioctl(random.as_raw_fd(), RNDRESEEDCRNG as _, 0))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use viv_protocol::Value;

    fn read(hostname: &str, machine_id: &str) -> Result<Identity, WireError> {
        read_with(hostname, machine_id, vec![])
    }

    fn read_with(
        hostname: &str,
        machine_id: &str,
        more: Vec<(&str, Value)>,
    ) -> Result<Identity, WireError> {
        let mut fields = vec![
            ("hostname", hostname.into()),
            ("machineId", machine_id.into()),
            ("generation", 1u64.into()),
            ("entropy", Value::Bytes(vec![1; 64])),
            ("clockNanos", 5u64.into()),
        ];
        fields.extend(more);
        Identity::read(&Fields(&Value::map(fields)))
    }

    #[test]
    fn a_clock_source_may_be_told_and_so_may_what_is_not_known_yet() {
        let id = "0123456789abcdef0123456789abcdef";
        let source = |more| read_with("web", id, more).map(|identity| identity.clock_source);
        let told = Some("acpi_pm".to_owned());
        assert_eq!(source(vec![]), Ok(None));
        assert_eq!(
            source(vec![
                ("clockSource", "acpi_pm".into()),
                ("tomorrow", 1u64.into())
            ]),
            Ok(told)
        );
        let wrong = source(vec![("clockSource", 1u64.into())]);
        assert_eq!(wrong.map_err(|error| error.code), Err(Code::InvalidRequest));
    }

    #[test]
    fn names_that_could_break_a_file_are_refused() {
        let id = "0123456789abcdef0123456789abcdef";
        assert!(read("web-1", id).is_ok());
        for (hostname, machine_id) in [
            ("", id),
            ("a\nb", id),
            (&*"a".repeat(65), id),
            ("a", "xyz"),
            ("a", &"g".repeat(32)),
        ] {
            assert_eq!(
                read(hostname, machine_id).err().map(|error| error.code),
                Some(Code::InvalidRequest)
            );
        }
    }
}
