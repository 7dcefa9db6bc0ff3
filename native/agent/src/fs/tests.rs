use super::watch::{Told, Watch};
use super::{run, step};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::Arc;
use viv_protocol::{Code, Fields, Value, WireError};

/// A directory that is a root, and one beside it that nothing may reach.
struct Place {
    dir: PathBuf,
    root: Arc<OwnedFd>,
}

impl Place {
    fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("viv-fs-{}-{number}", std::process::id()));
        fs::create_dir_all(dir.join("root")).expect("root");
        fs::create_dir_all(dir.join("outside")).expect("outside");
        fs::write(dir.join("outside/file"), "kept").expect("file");
        let root = fs::File::open(dir.join("root")).expect("open");
        Place {
            dir,
            root: Arc::new(root.into()),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.join("root").join(path)
    }

    fn call(&self, method: &str, fields: Vec<(&str, Value)>) -> Result<Value, WireError> {
        let fields = Value::map(fields);
        let step = step(method, &Fields(&fields)).expect("a method")?;
        run(&self.root, step)
    }

    fn code(&self, method: &str, fields: Vec<(&str, Value)>) -> Option<Code> {
        self.call(method, fields).err().map(|error| error.code)
    }

    fn names(&self, path: &str, after: Option<&str>) -> (Vec<String>, bool) {
        let mut fields = vec![("path", path.into())];
        fields.extend(after.map(|after| ("after", after.into())));
        let page = self.call("fs.list", fields).expect("a list");
        let Some(Value::Array(entries)) = page.get("entries") else {
            panic!("no entries")
        };
        let name = |entry: &Value| match entry.get("name") {
            Some(Value::Text(name)) => name.clone(),
            _ => panic!("no name"),
        };
        let more = page.get("more") == Some(&Value::Bool(true));
        (entries.iter().map(name).collect(), more)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn a_directory_is_listed_page_after_page_by_name() {
    let place = Place::new();
    for n in 0..450 {
        fs::write(place.at(&format!("f{n:03}")), "").expect("file");
    }
    let (mut all, mut more) = place.names("/", None);
    assert_eq!((all.len(), more), (200, true));
    while more {
        let next = place.names("/", all.last().map(String::as_str));
        all.extend(next.0);
        more = next.1;
    }
    let expected: Vec<_> = (0..450).map(|n| format!("f{n:03}")).collect();
    assert_eq!(all, expected);
    assert_eq!(
        place.code("fs.list", vec![("path", "/f000".into())]),
        Some(Code::PathNotFound)
    );
}

#[test]
fn directories_are_made_with_all_on_the_way_where_that_is_asked() {
    let place = Place::new();
    let deep = |parents: bool| {
        vec![
            ("path", "/a/./b/../b/c/".into()),
            ("parents", parents.into()),
            ("mode", 0o711u64.into()),
        ]
    };
    assert_eq!(
        place.code("fs.mkdir", deep(false)),
        Some(Code::PathNotFound)
    );
    for _ in 0..2 {
        place.call("fs.mkdir", deep(true)).expect("made");
    }
    let mode = |path: &str| {
        fs::metadata(place.at(path))
            .expect("there")
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!((mode("a/b/c"), mode("a/b")), (0o711, 0o755));
    assert_eq!(
        place.code("fs.mkdir", vec![("path", "/a".into())]),
        Some(Code::Conflict)
    );
    fs::write(place.at("file"), "").expect("file");
    let through = vec![("path", "/file/x".into()), ("parents", true.into())];
    assert_eq!(place.code("fs.mkdir", through), Some(Code::PathNotFound));
    assert_eq!(
        place.code("fs.mkdir", vec![("path", "/..".into())]),
        Some(Code::InvalidRequest)
    );
}

#[test]
fn a_tree_is_removed_and_what_its_links_lead_to_is_not() {
    let place = Place::new();
    fs::create_dir_all(place.at("tree/sub/deep")).expect("tree");
    fs::create_dir_all(place.at("beside")).expect("beside");
    fs::write(place.at("tree/sub/file"), "").expect("file");
    symlink(place.dir.join("outside"), place.at("tree/out")).expect("link");
    symlink("../beside", place.at("tree/sub/beside")).expect("link");
    let tree = |recursive: bool| vec![("path", "/tree".into()), ("recursive", recursive.into())];
    assert_eq!(place.code("fs.remove", tree(false)), Some(Code::Conflict));
    let answer = place.call("fs.remove", tree(true)).expect("removed");
    assert_eq!(answer.get("removed"), Some(&Value::Int(6)));
    assert!(!place.at("tree").exists() && place.at("beside").exists());
    assert_eq!(
        fs::read(place.dir.join("outside/file")).expect("kept"),
        b"kept"
    );
    assert_eq!(
        place.code("fs.remove", tree(true)),
        Some(Code::PathNotFound)
    );
    let root = vec![("path", "/".into()), ("recursive", true.into())];
    assert_eq!(place.code("fs.remove", root), Some(Code::InvalidRequest));
}

#[test]
fn no_step_is_led_out_of_the_root() {
    let place = Place::new();
    symlink("/../outside", place.at("up")).expect("link");
    symlink(place.dir.join("outside"), place.at("absolute")).expect("link");
    for way in ["up", "absolute", "../outside", "/../../outside"] {
        let file: Value = format!("{way}/file").into();
        let new: Value = format!("{way}/new").into();
        let one = |path: &Value| vec![("path", path.clone())];
        let read = [
            one(&file),
            vec![("offset", 0u64.into()), ("length", 9u64.into())],
        ]
        .concat();
        assert_eq!(place.code("fs.read", read), Some(Code::PathNotFound));
        assert_eq!(
            place.code("fs.list", one(&way.into())),
            Some(Code::PathNotFound)
        );
        assert_eq!(place.code("fs.mkdir", one(&new)), Some(Code::PathNotFound));
        assert_eq!(
            place.code("fs.remove", one(&file)),
            Some(Code::PathNotFound)
        );
        let mode = [one(&file), vec![("mode", 0u64.into())]].concat();
        assert_eq!(place.code("fs.attributes", mode), Some(Code::PathNotFound));
        let away = vec![("from", file.clone()), ("to", "/taken".into())];
        assert_eq!(place.code("fs.rename", away), Some(Code::PathNotFound));
        fs::write(place.at("mine"), "").expect("file");
        let there = vec![("from", "/mine".into()), ("to", new)];
        assert_eq!(place.code("fs.rename", there), Some(Code::PathNotFound));
    }
    let outside = fs::read_dir(place.dir.join("outside"))
        .expect("there")
        .count();
    assert_eq!(outside, 1);
}

#[test]
fn a_rename_replaces_unless_it_is_told_not_to() {
    let place = Place::new();
    for name in ["one", "two"] {
        fs::write(place.at(name), name).expect("file");
    }
    let both = |replace: Option<bool>| {
        let mut fields = vec![("from", "/one".into()), ("to", "two".into())];
        fields.extend(replace.map(|replace| ("replace", replace.into())));
        fields
    };
    assert_eq!(
        place.code("fs.rename", both(Some(false))),
        Some(Code::Conflict)
    );
    place.call("fs.rename", both(None)).expect("renamed");
    assert_eq!(fs::read(place.at("two")).expect("there"), b"one");
    assert_eq!(
        place.code("fs.rename", both(None)),
        Some(Code::PathNotFound)
    );
}

#[test]
fn part_of_a_file_is_read_and_attributes_are_changed_without_following() {
    let place = Place::new();
    fs::write(place.at("file"), "0123456789").expect("file");
    symlink("file", place.at("link")).expect("link");
    let part = |offset: u64| {
        let fields = vec![
            ("path", "link".into()),
            ("offset", offset.into()),
            ("length", 4u64.into()),
        ];
        let answer = place.call("fs.read", fields).expect("read");
        (answer.get("data").cloned(), answer.get("size").cloned())
    };
    let bytes = |text: &str| Some(Value::Bytes(text.as_bytes().to_vec()));
    assert_eq!(part(2), (bytes("2345"), Some(Value::Int(10))));
    assert_eq!([part(8).0, part(99).0], [bytes("89"), bytes("")]);
    let change = |path: &str, follow: bool| {
        let fields = vec![
            ("path", path.into()),
            ("follow", follow.into()),
            ("mode", 0o4751u64.into()),
        ];
        place.code("fs.attributes", fields)
    };
    assert_eq!(change("link", false), Some(Code::InvalidRequest));
    assert_eq!(change("link", true), None);
    let about = fs::metadata(place.at("file")).expect("there");
    assert_eq!(about.mode() & 0o7777, 0o4751);
    let directory = vec![
        ("path", "/".into()),
        ("offset", 0u64.into()),
        ("length", 1u64.into()),
    ];
    assert_eq!(place.code("fs.read", directory), Some(Code::InvalidRequest));
}

/// What a watch tells, as `kind path`, until it has told `last`.
fn told_until(
    watch: &mut Watch,
    heard: &std::sync::mpsc::Receiver<Told>,
    last: &str,
) -> Vec<String> {
    let mut all = Vec::new();
    while all.last().map(String::as_str) != Some(last) {
        let Told::Changes(event) = heard.recv().expect("goes on") else {
            panic!("ended after {all:?}")
        };
        let Some(Value::Array(changes)) = event.get("changes") else {
            panic!("no changes")
        };
        for change in changes {
            let text = |key| match change.get(key) {
                Some(Value::Text(text)) => text.as_str(),
                _ => "",
            };
            // A slow writer's bytes may come in a piece of their own.
            if text("kind") != "modified" {
                all.push(format!("{} {}", text("kind"), text("path")));
            }
        }
        watch.took();
        watch.go_on();
    }
    all
}

#[test]
fn a_watch_tells_of_a_tree_and_of_directories_that_come_later_and_ends_with_it() {
    let place = Place::new();
    fs::create_dir_all(place.at("top/old")).expect("tree");
    let (sender, heard) = channel();
    let tell = move |told| drop(sender.send(told));
    let mut watch =
        Watch::start(Arc::clone(&place.root), "/top".into(), true, tell).expect("a watch");
    assert!(matches!(heard.recv(), Ok(Told::Began)));
    fs::write(place.at("top/old/file"), "x").expect("file");
    fs::create_dir_all(place.at("top/new/deep")).expect("tree");
    let seen = told_until(&mut watch, &heard, "created new/deep");
    assert_eq!(
        seen,
        ["created old/file", "created new", "created new/deep"]
    );
    fs::write(place.at("top/new/deep/file"), "x").expect("file");
    assert_eq!(
        told_until(&mut watch, &heard, "created new/deep/file").len(),
        1
    );
    fs::rename(place.at("top/new"), place.at("top/moved")).expect("moved");
    assert_eq!(told_until(&mut watch, &heard, "renamed moved").len(), 1);
    fs::remove_file(place.at("top/moved/deep/file")).expect("removed");
    assert_eq!(
        told_until(&mut watch, &heard, "removed moved/deep/file").len(),
        1
    );
    fs::remove_dir_all(place.at("top")).expect("removed");
    told_until(&mut watch, &heard, "removed ");
    let over = loop {
        match heard.recv().expect("its end") {
            Told::Over(error) => break error,
            _ => {
                watch.took();
                watch.go_on();
            }
        }
    };
    assert_eq!(over.code, Code::PathNotFound);
}

#[test]
fn a_watch_of_nothing_is_refused_and_a_dropped_one_lets_its_thread_go() {
    let place = Place::new();
    let (sender, heard) = channel();
    let again = sender.clone();
    let none = Watch::start(
        Arc::clone(&place.root),
        "/none".into(),
        false,
        move |told| drop(again.send(told)),
    );
    assert!(none.is_ok());
    assert!(matches!(heard.recv(), Ok(Told::Refused(error)) if error.code == Code::PathNotFound));
    let watch = Watch::start(Arc::clone(&place.root), "/".into(), false, move |told| {
        drop(sender.send(told))
    });
    assert!(matches!(heard.recv(), Ok(Told::Began)));
    drop(watch);
    // Its sender goes with the thread.
    assert!(heard.recv().is_err());
}
