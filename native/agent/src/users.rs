//! Users and groups as the image itself names them.

use viv_protocol::{Code, WireError};

/// Who a process runs as.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, including the primary one where the user has an entry.
    pub groups: Vec<u32>,
    pub home: String,
    pub name: Option<String>,
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// The highest number means `no change` to the system calls: a process would stay root.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX)
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields
            .next()
            .filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let (uid, gid) = (id(fields.nth(1)?)?, id(fields.next()?)?);
        Some(Account {
            name,
            uid,
            gid,
            home: fields.nth(1).unwrap_or(""),
        })
    })
}

/// (name, gid, members)
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some((name, id(fields.nth(1)?)?, fields.next().unwrap_or("")))
    })
}

fn unknown(what: &str, name: &str) -> WireError {
    WireError::new(
        Code::UserNotFound,
        format!("the image has no {what} {name}"),
    )
}

/// `name`, `uid`, `name:group`, `uid:gid`; empty is root. A number needs no entry, a name does.
pub fn resolve(wanted: &str, passwd: &str, group: &str) -> Result<Identity, WireError> {
    let (user, group_wanted) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (wanted, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = id(user);
    // A name that looks like a number is looked up as a name first, as useradd permits such names.
    let account = accounts(passwd)
        .find(|account| account.name == user)
        .or_else(|| accounts(passwd).find(|account| number == Some(account.uid)));
    let uid = account
        .as_ref()
        .map(|account| account.uid)
        .or(number)
        .ok_or_else(|| unknown("user", user))?;
    let own_gid = account.as_ref().map_or(0, |account| account.gid);
    let (gid, supplementary) = match group_wanted {
        Some(wanted) => (group_id(wanted, group)?, Vec::new()),
        None => (
            own_gid,
            account.as_ref().map_or(Vec::new(), |account| {
                memberships(account.name, own_gid, group)
            }),
        ),
    };
    let home = account.as_ref().map_or("", |account| account.home);
    Ok(Identity {
        uid,
        gid,
        groups: supplementary,
        home: if home.is_empty() {
            "/".to_owned()
        } else {
            home.to_owned()
        },
        name: account.map(|account| account.name.to_owned()),
    })
}

fn group_id(wanted: &str, group: &str) -> Result<u32, WireError> {
    let named = groups(group)
        .find(|(name, _, _)| *name == wanted)
        .map(|(_, gid, _)| gid);
    named
        .or_else(|| id(wanted))
        .ok_or_else(|| unknown("group", wanted))
}

/// The kernel takes at most 65,536 of them.
fn memberships(user: &str, own: u32, group: &str) -> Vec<u32> {
    let mut found = vec![own];
    for (_, gid, members) in groups(group) {
        if found.len() < 65_536
            && !found.contains(&gid)
            && members.split(',').any(|member| member == user)
        {
            found.push(gid);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken:x\napp:x:1000:100:App:/srv/app:/bin/sh\nnohome:x:1001:1001::\n42:x:7:7::/seven:";
    const GROUP: &str =
        "root:x:0:\nusers:x:100:\nwheel:x:10:root,app\ndocker:x:999:app\nbad:x:y:app\n";

    fn ids(wanted: &str) -> Option<(u32, u32, Vec<u32>)> {
        resolve(wanted, PASSWD, GROUP)
            .ok()
            .map(|identity| (identity.uid, identity.gid, identity.groups))
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        assert_eq!(ids(""), Some((0, 0, vec![0, 10])));
        assert_eq!(ids("app"), Some((1000, 100, vec![100, 10, 999])));
        assert_eq!(ids("1000"), ids("app"));
        assert_eq!(ids("4242"), Some((4242, 0, vec![])));
        assert_eq!(ids("42"), Some((7, 7, vec![7])));
    }

    #[test]
    fn a_group_that_is_named_stands_alone() {
        assert_eq!(ids("app:wheel"), Some((1000, 10, vec![])));
        assert_eq!(ids("5:6"), Some((5, 6, vec![])));
        assert_eq!(ids(":999"), Some((0, 999, vec![])));
    }

    #[test]
    fn unknown_names_are_an_error_of_their_own() {
        for wanted in ["nobody-here", "app:nope", "99999999999"] {
            assert_eq!(
                resolve(wanted, PASSWD, GROUP).unwrap_err().code,
                Code::UserNotFound,
                "{wanted}"
            );
        }
    }

    #[test]
    fn the_id_that_means_no_change_is_nobodys() {
        let passwd = "ghost:x:4294967295:4294967295::/:/bin/sh\n";
        for wanted in ["4294967295", "0:4294967295", "ghost"] {
            assert_eq!(
                resolve(wanted, passwd, "").unwrap_err().code,
                Code::UserNotFound,
                "{wanted}"
            );
        }
    }

    #[test]
    fn homes_have_a_fallback() {
        assert_eq!(resolve("app", PASSWD, GROUP).unwrap().home, "/srv/app");
        assert_eq!(resolve("nohome", PASSWD, GROUP).unwrap().home, "/");
        assert_eq!(resolve("0", "", "").unwrap().home, "/");
    }
}
