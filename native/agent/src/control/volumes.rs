//! The methods that bring volumes in and out. Each is a job: disks may take their time.

use super::methods::{nothing, Answer};
use super::stillness::Writing;
use super::Agent;
use crate::volumes::{Order, Volumes};
use viv_protocol::{Fields, WireError};

impl Agent {
    pub(super) fn volume(&mut self, stream: u32, method: &str, fields: &Fields<'_>) {
        let job = match method {
            "volume.mount" => self.volume_mount(fields),
            "volume.unmount" => volume_unmount(fields),
            _ => serial_of(fields).map(|serial| -> Job {
                Box::new(move |volumes| volumes.grow(&serial).and_then(|()| nothing()))
            }),
        };
        match job {
            Ok(job) => {
                let volumes = self.volumes.clone();
                let writing = Writing::begin();
                self.spawn_job(stream, move || {
                    let _until_it_is_done = writing;
                    job(&volumes)
                });
            }
            Err(error) => self.link.respond(stream, &Err(error)),
        }
    }

    fn volume_mount(&self, fields: &Fields<'_>) -> Result<Job, WireError> {
        let order = Order::read(fields, self.configured.is_some())?;
        let running = self.workloads.values();
        let mut spaces: Vec<libc::pid_t> = running
            .filter(|workload| workload.exit.is_none())
            .map(|workload| workload.first)
            .collect();
        spaces.extend(self.prepared.as_ref().map(|prepared| prepared.first));
        Ok(Box::new(move |volumes| {
            volumes.mount(order, &spaces).and_then(|()| nothing())
        }))
    }
}

type Job = Box<dyn FnOnce(&Volumes) -> Answer + Send>;

fn serial_of(fields: &Fields<'_>) -> Result<String, WireError> {
    fields.text("serial").map(str::to_owned)
}

fn volume_unmount(fields: &Fields<'_>) -> Result<Job, WireError> {
    let (serial, force) = (serial_of(fields)?, fields.flag("force")?);
    Ok(Box::new(move |volumes| {
        volumes.unmount(&serial, force).and_then(|()| nothing())
    }))
}
