use crate::access::Targets;
use std::os::fd::OwnedFd;

pub fn start(_port: OwnedFd, _targets: Targets) {}
