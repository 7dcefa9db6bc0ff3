use super::*;
use crate::tar::{Entry, Reader, Source, TarError};
use std::fs;
use std::sync::Mutex;

struct Bytes(Vec<u8>, usize);

impl Source for Bytes {
    fn chunk(&mut self) -> Result<&[u8], TarError> {
        Ok(&self.0[self.1..])
    }
    fn consume(&mut self, count: usize) {
        self.1 += count;
    }
}

/// Everything that a copy says, as (answered or failed, archive, ended).
fn copy(
    root: &Path,
    path: &str,
    follow: bool,
) -> (Option<Result<Value, WireError>>, Vec<u8>, bool) {
    let said = Mutex::new((None, Vec::new(), false));
    let empty = || vec![0; HEADER_LEN];
    let open = File::open(root).expect("root");
    run(&open.into(), path, follow, empty, |piece| {
        let mut said = said.lock().expect("one thread");
        match piece {
            Piece::Answer(answer) => said.0 = Some(answer),
            Piece::Data(buffer) => said.1.extend_from_slice(&buffer[HEADER_LEN..]),
            Piece::End => said.2 = true,
            Piece::Failed(error) => said.0 = Some(Err(error)),
            Piece::Credit(_) | Piece::Over => {}
        }
        Ok(())
    });
    said.into_inner().expect("one thread")
}

fn entries(archive: Vec<u8>) -> Vec<Entry> {
    let mut reader = Reader::new(Bytes(archive, 0));
    std::iter::from_fn(|| reader.next().expect("well-formed")).collect()
}

#[test]
fn a_tree_comes_out_under_its_own_name() {
    let root = std::env::temp_dir().join(format!("viv-agent-out-{}", std::process::id()));
    fs::create_dir_all(root.join("srv/dir/sub")).expect("directories");
    fs::write(root.join("srv/dir/a"), vec![b'x'; 300_000]).expect("file");
    fs::hard_link(root.join("srv/dir/a"), root.join("srv/dir/b")).expect("link");
    std::os::unix::fs::symlink("/srv/dir", root.join("srv/link")).expect("link");
    let (answer, archive, ended) = copy(&root, "/srv/dir", false);
    let followed = copy(&root, "srv/link", true);
    let link = copy(&root, "srv/link", false);
    let missing = copy(&root, "nope", false);
    fs::remove_dir_all(&root).expect("cleaned up");
    assert_eq!(
        (
            answer
                .and_then(Result::ok)
                .and_then(|answer| answer.get("kind").cloned()),
            ended
        ),
        (Some("directory".into()), true)
    );
    let names: Vec<_> = entries(archive)
        .into_iter()
        .map(|entry| {
            (
                String::from_utf8_lossy(&entry.name).into_owned(),
                entry.size,
                String::from_utf8_lossy(&entry.link).into_owned(),
            )
        })
        .collect();
    let named = |name: &str, size: u64, link: &str| (name.to_owned(), size, link.to_owned());
    assert_eq!(
        names,
        [
            named("dir/", 0, ""),
            named("dir/a", 300_000, ""),
            named("dir/b", 0, "dir/a"),
            named("dir/sub/", 0, "")
        ]
    );
    assert_eq!(entries(followed.1).len(), 4);
    assert_eq!(entries(link.1)[0].link, b"/srv/dir");
    assert_eq!(
        missing.0.and_then(Result::err).map(|error| error.code),
        Some(viv_protocol::Code::PathNotFound)
    );
}

#[test]
fn nothing_of_a_tree_is_open_once_its_end_is_told() {
    let root = std::env::temp_dir().join(format!("viv-agent-open-{}", std::process::id()));
    fs::create_dir_all(root.join("srv/sub")).expect("directories");
    fs::write(root.join("srv/sub/a"), "x").expect("file");
    let held = || -> Vec<_> {
        let all = fs::read_dir("/proc/self/fd").expect("own descriptors");
        all.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter(|target| target.starts_with(root.join("srv")))
            .collect()
    };
    for path in ["srv", "srv/sub/a"] {
        let open: OwnedFd = File::open(&root).expect("root").into();
        let mut at_the_end = None;
        run(
            &open,
            path,
            false,
            || vec![0; HEADER_LEN],
            |piece| {
                if matches!(piece, Piece::End) {
                    at_the_end = Some(held());
                }
                Ok(())
            },
        );
        assert_eq!(at_the_end, Some(Vec::new()), "{path}");
    }
    fs::remove_dir_all(&root).expect("cleaned up");
}

#[test]
fn files_that_lie_about_their_size_come_out_whole() {
    let (_, archive, ended) = copy(Path::new("/proc/self"), "status", true);
    let entry = entries(archive).remove(0);
    assert!(ended && entry.size > 100, "{entry:?}");
}
