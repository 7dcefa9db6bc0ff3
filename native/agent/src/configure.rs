//! `configure`: from a bare kernel to a root that workloads can live in. Each stage is timed and named when it fails.

use crate::access::guest_error;
use crate::boot_id;
use crate::bus::Bus;
use crate::disks;
use crate::etc_files::{Held, Way};
use crate::generation;
use crate::identity::Identity;
use crate::kmsg;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;
use viv_protocol::{Code, Fields, Value, WireError};

/// Where the stacked root is mounted, in the agent's own namespace.
pub const MERGED_ROOT: &str = "/r";

pub struct Config {
    pub identity: Identity,
    pub layers: u32,
    pub layers_serial: String,
    pub overlay_serial: String,
}

/// What is known once it is done.
pub struct Configured {
    /// Names of the disks below `/sys/block`.
    pub disks: Vec<String>,
    /// Device of the writable layer.
    pub root_disk: PathBuf,
}

impl Config {
    pub fn read(fields: &Fields<'_>) -> Result<Config, WireError> {
        let root = fields.inner("root")?;
        Ok(Config {
            identity: Identity::read(fields)?,
            layers: root.small("layers")?,
            layers_serial: root.text("layersSerial")?.to_owned(),
            overlay_serial: root.text("overlaySerial")?.to_owned(),
        })
    }
}

/// Runs a stage and notes its name and its milliseconds.
fn stage<T>(
    stages: &mut Vec<Value>,
    name: &'static str,
    work: impl FnOnce() -> Result<T, WireError>,
) -> Result<T, WireError> {
    let start = Instant::now();
    let done = work().map_err(|error| WireError {
        code: Code::BootFailed,
        stage: error.stage.or(Some(name)),
        ..error
    })?;
    let ms = start.elapsed().as_secs_f64() * 1000.0;
    stages.push(Value::map(vec![
        ("name", name.into()),
        ("ms", Value::Float(ms)),
    ]));
    Ok(done)
}

fn told<T>(what: &str, result: io::Result<T>) -> Result<T, WireError> {
    result.map_err(|error| {
        let failed = guest_error(what, &error);
        // The file system itself is what the kernel doesn't know: a module is missing.
        if error.raw_os_error() == Some(libc::ENODEV) {
            failed.at_stage("modules")
        } else {
            failed
        }
    })
}

/// Answers what was found, and the stages for the host.
pub fn run(config: &Config) -> Result<(Configured, Vec<Value>), WireError> {
    let mut stages = Vec::new();
    let identity = &config.identity;
    let mut bus = Bus::default();
    let (layers, root_disk) = stage(&mut stages, "disks", || {
        identity.seed()?;
        let layers = told(
            &format!("the disk {}", config.layers_serial),
            disks::find(&mut bus, &config.layers_serial),
        )?;
        let root = told(
            &format!("the disk {}", config.overlay_serial),
            disks::find(&mut bus, &config.overlay_serial),
        )?;
        disks::unwatch(&layers);
        disks::unwatch(&root);
        Ok((layers, root))
    })?;
    stage(&mut stages, "layers", || {
        told("the layers", disks::mount_layers(&layers, config.layers))
    })?;
    let device = PathBuf::from(format!("/dev/{root_disk}"));
    stage(&mut stages, "overlay", || {
        told("the writable disk", disks::mount_overlay_disk(&device))?;
        told(
            "the file system of the writable disk",
            disks::grow(&device, Path::new(disks::OVERLAY_DISK)),
        )
    })?;
    stage(&mut stages, "root", || {
        told("the stacked root", disks::stack(config.layers, MERGED_ROOT))
    })?;
    stage(&mut stages, "network", || identity.connect(&mut bus))?;
    stage(&mut stages, "identity", || {
        identity.name(Some(MERGED_ROOT), Way::Anew, &Held::default())?;
        told("boot id", boot_id::renew())?;
        generation::set(identity.generation());
        Ok(())
    })?;
    kmsg::announce(&format!(
        "{} is up (start {}, {} layers); this console shows what kernel and agent have to say, a shell is `viv exec -it`",
        identity.hostname(),
        generation::get(),
        config.layers,
    ));
    Ok((
        Configured {
            disks: vec![layers, root_disk],
            root_disk: device,
        },
        stages,
    ))
}
