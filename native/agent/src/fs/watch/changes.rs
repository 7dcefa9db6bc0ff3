use std::collections::HashMap;
use viv_protocol::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Created,
    Modified,
    Attributes,
    Removed,
    Renamed,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Created => "created",
            Kind::Modified => "modified",
            Kind::Attributes => "attributes",
            Kind::Removed => "removed",
            Kind::Renamed => "renamed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub kind: Kind,
    /// From the watched directory; empty for what is watched itself.
    pub path: String,
    /// Of a rename.
    pub from: String,
}

/// Bytes of paths in one frame.
const FULL: usize = 24 * 1024;

/// What has changed, in its order.
#[derive(Default)]
pub struct Changes {
    pub list: Vec<Change>,
    /// The last change of each path, so that the same one is not told twice in a row.
    last: HashMap<String, Kind>,
    /// Names that were moved away and have not turned up, by the kernel's cookie: where in the list.
    moved: HashMap<u32, usize>,
    /// Something happened that is not told of.
    pub lost: bool,
}

impl Changes {
    pub fn add(&mut self, kind: Kind, path: &str) {
        let before = self.last.insert(path.to_owned(), kind);
        // What has just been created is written to and given its mode: that is how it came to be.
        let same = before == Some(kind)
            || (before == Some(Kind::Created) && matches!(kind, Kind::Modified | Kind::Attributes));
        if same {
            self.last.extend(before.map(|kind| (path.to_owned(), kind)));
            return;
        }
        self.list.push(Change {
            kind,
            path: path.to_owned(),
            from: String::new(),
        });
    }

    /// It may turn up under another name; until then it is removed.
    pub fn moved_from(&mut self, cookie: u32, path: &str) {
        self.last.remove(path);
        self.moved.insert(cookie, self.list.len());
        self.list.push(Change {
            kind: Kind::Removed,
            path: path.to_owned(),
            from: String::new(),
        });
    }

    /// Answers where it was before, if that was watched too.
    pub fn moved_to(&mut self, cookie: u32, path: &str) -> Option<String> {
        let Some(at) = self.moved.remove(&cookie) else {
            self.add(Kind::Created, path);
            return None;
        };
        self.last.remove(path);
        let change = self.list.get_mut(at)?;
        change.kind = Kind::Renamed;
        change.from = std::mem::replace(&mut change.path, path.to_owned());
        Some(change.from.clone())
    }

    /// As events, each within a frame.
    pub fn into_pieces(self) -> Vec<Value> {
        let mut pieces: Vec<Vec<Value>> = Vec::new();
        let mut bytes = FULL;
        for Change { kind, path, from } in self.list {
            if bytes >= FULL {
                pieces.push(Vec::new());
                bytes = 0;
            }
            bytes += path.len() + from.len() + 32;
            let mut fields = vec![("kind", Value::from(kind.as_str())), ("path", path.into())];
            if kind == Kind::Renamed {
                fields.push(("from", from.into()));
            }
            if let Some(piece) = pieces.last_mut() {
                piece.push(Value::map(fields));
            }
        }
        if self.lost && pieces.is_empty() {
            pieces.push(Vec::new());
        }
        let last = pieces.len().saturating_sub(1);
        let piece = |(at, changes)| {
            Value::map(vec![
                ("e", Value::from("change")),
                ("changes", Value::Array(changes)),
                ("lost", (self.lost && at == last).into()),
            ])
        };
        pieces.into_iter().enumerate().map(piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_and_a_new_file_is_only_created() {
        let mut changes = Changes::default();
        for kind in [
            Kind::Created,
            Kind::Modified,
            Kind::Attributes,
            Kind::Modified,
        ] {
            changes.add(kind, "new");
        }
        for kind in [Kind::Modified, Kind::Modified, Kind::Removed] {
            changes.add(kind, "old");
        }
        let told: Vec<_> = changes
            .list
            .iter()
            .map(|c| (c.kind, c.path.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (Kind::Created, "new"),
                (Kind::Modified, "old"),
                (Kind::Removed, "old")
            ]
        );
    }

    #[test]
    fn a_move_within_is_a_rename_and_one_from_or_to_elsewhere_is_not() {
        let mut changes = Changes::default();
        changes.moved_from(1, "a");
        assert_eq!(changes.moved_to(1, "b"), Some("a".to_owned()));
        changes.moved_from(2, "gone");
        assert_eq!(changes.moved_to(3, "came"), None);
        let told: Vec<_> = changes
            .list
            .iter()
            .map(|c| (c.kind, c.path.as_str(), c.from.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (Kind::Renamed, "b", "a"),
                (Kind::Removed, "gone", ""),
                (Kind::Created, "came", "")
            ]
        );
    }

    #[test]
    fn many_long_names_go_into_several_frames() {
        let mut changes = Changes {
            lost: true,
            ..Changes::default()
        };
        for n in 0..100 {
            changes.add(Kind::Created, &format!("{n}{}", "x".repeat(1000)));
        }
        let pieces = changes.into_pieces();
        assert!(pieces.len() > 3);
        assert!(pieces
            .iter()
            .all(|piece| piece.encode().len() < viv_protocol::MAX_PAYLOAD));
        let lost: Vec<_> = pieces
            .iter()
            .map(|piece| piece.get("lost") == Some(&Value::Bool(true)))
            .collect();
        assert_eq!(lost.iter().filter(|lost| **lost).count(), 1);
        assert_eq!(lost.last(), Some(&true));
    }
}
