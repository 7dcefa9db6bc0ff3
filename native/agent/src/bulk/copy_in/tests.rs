use super::*;
use crate::tar::TarError;
use crate::tar::{header, padding, Meta, END};
use std::fs;
use std::os::unix::fs::MetadataExt;
use viv_protocol::Code;

/// A destination with something precious beside it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let place =
            Place(std::env::temp_dir().join(format!("viv-agent-{name}-{}", std::process::id())));
        fs::create_dir_all(place.0.join("in")).expect("directory");
        fs::write(place.0.join("outside"), "precious").expect("file");
        place
    }

    fn inside(&self, name: &str) -> PathBuf {
        self.0.join("in").join(name)
    }

    fn unpack(&self, archive: &[u8]) -> Done<(u64, u64)> {
        let directory = File::open(self.0.join("in")).expect("open");
        // SAFETY: no arguments, no pointers.
        let own = unsafe { (libc::getuid(), libc::getgid()) };
        unpack(directory.into(), Some(own), Bytes(archive))
    }

    fn untouched(&self) -> bool {
        fs::read_to_string(self.0.join("outside")).is_ok_and(|text| text == "precious")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("cleaned up");
    }
}

struct Bytes<'a>(&'a [u8]);

impl Source for Bytes<'_> {
    fn chunk(&mut self) -> Result<&[u8], TarError> {
        Ok(&self.0[..self.0.len().min(1000)])
    }
    fn consume(&mut self, count: usize) {
        self.0 = &self.0[count..];
    }
}

fn add(archive: &mut Vec<u8>, kind: u8, name: &str, link: &str, content: &[u8], mode: u32) {
    let (name, link) = (name.as_bytes(), link.as_bytes());
    let size = content.len() as u64;
    archive.extend(header(&Meta {
        kind,
        name,
        link,
        size,
        mode,
        uid: 0,
        gid: 0,
        mtime: (1_600_000_000, 5),
        device: (0, 0),
    }));
    archive.extend_from_slice(content);
    archive.resize(archive.len() + padding(size), 0);
}

fn archive(entries: &[(u8, &str, &str, &[u8], u32)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (kind, name, link, content, mode) in entries {
        add(&mut archive, *kind, name, link, content, *mode);
    }
    archive.extend_from_slice(&END);
    archive
}

#[test]
fn files_directories_and_links_arrive_with_modes_and_times() {
    let place = Place::new("copy-all");
    let done = place.unpack(&archive(&[
        (b'5', "d/", "", b"", 0o751),
        (b'0', "d/file", "", b"hello", 0o4750),
        (b'1', "d/hard", "d/file", b"", 0),
        (b'2', "d/soft", "file", b"", 0o777),
        (b'0', "made/on/made/on/way", "", b"", 0o600),
    ]));
    assert_eq!(done, Ok((5, 5)));
    let file = fs::metadata(place.inside("d/file")).expect("file");
    assert_eq!(
        (
            file.mode() & 0o7777,
            file.mtime(),
            file.mtime_nsec(),
            file.nlink()
        ),
        (0o4750, 1_600_000_000, 5, 2)
    );
    let directory = fs::metadata(place.inside("d")).expect("directory");
    assert_eq!(
        (directory.mode() & 0o7777, directory.mtime()),
        (0o751, 1_600_000_000)
    );
    assert_eq!(
        fs::read_to_string(place.inside("d/soft")).expect("link"),
        "hello"
    );
    assert!(place.inside("made/on/made/on/way").is_file());
}

#[test]
fn whatever_leads_outside_is_hostile() {
    let ways: [(&str, Vec<u8>); 6] = [
        ("absolute", archive(&[(b'0', "/etc/x", "", b"bad", 0o644)])),
        (
            "dots",
            archive(&[(b'0', "a/../../outside", "", b"bad", 0o644)]),
        ),
        (
            "link",
            archive(&[
                (b'2', "l", "..", b"", 0o777),
                (b'0', "l/outside", "", b"bad", 0o644),
            ]),
        ),
        (
            "absolute link",
            archive(&[
                (b'2', "l", "/tmp", b"", 0o777),
                (b'0', "l/viv-bad", "", b"bad", 0o644),
            ]),
        ),
        (
            "hard link",
            archive(&[(b'1', "h", "../outside", b"", 0o644)]),
        ),
        (
            "hard link by link",
            archive(&[
                (b'2', "l", "..", b"", 0o777),
                (b'1', "h", "l/outside", b"", 0o644),
            ]),
        ),
    ];
    for (what, bytes) in ways {
        let place = Place::new("copy-hostile");
        let code = place.unpack(&bytes).map_err(|error| error.code);
        assert_eq!(code, Err(Code::ArchiveHostile), "{what}");
        assert!(place.untouched(), "{what}");
    }
}

#[test]
fn a_link_that_is_there_is_replaced_and_not_written_through() {
    let place = Place::new("copy-replace");
    std::os::unix::fs::symlink("../outside", place.inside("file")).expect("link");
    fs::create_dir(place.inside("real")).expect("directory");
    std::os::unix::fs::symlink("real", place.inside("lib")).expect("link");
    let done = place.unpack(&archive(&[
        (b'0', "file", "", b"new", 0o644),
        (b'5', "lib", "", b"", 0o755),
        (b'0', "lib/x", "", b"through", 0o644),
    ]));
    assert_eq!(done, Ok((10, 3)));
    assert!(place.untouched());
    assert_eq!(
        fs::read_to_string(place.inside("file")).expect("file"),
        "new"
    );
    assert!(place.inside("lib").is_symlink());
    assert_eq!(
        fs::read_to_string(place.inside("real/x")).expect("file"),
        "through"
    );
}

#[test]
fn a_cut_archive_leaves_the_old_file() {
    let place = Place::new("copy-cut");
    fs::write(place.inside("file"), "old").expect("file");
    let whole = archive(&[(b'0', "file", "", &[b'n'; 5000], 0o644)]);
    let code = place.unpack(&whole[..3000]).map_err(|error| error.code);
    assert_eq!(code, Err(Code::ArchiveInvalid));
    assert_eq!(
        fs::read_to_string(place.inside("file")).expect("file"),
        "old"
    );
    assert_eq!(fs::read_dir(place.0.join("in")).expect("list").count(), 1);
}

#[test]
fn names_of_nothing_change_nothing() {
    let place = Place::new("copy-dot");
    assert_eq!(
        place.unpack(&archive(&[
            (b'5', "./", "", b"", 0o700),
            (b'5', ".", "", b"", 0o700)
        ])),
        Ok((0, 2))
    );
    assert_eq!(fs::read_dir(place.0.join("in")).expect("list").count(), 0);
}
