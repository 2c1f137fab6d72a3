//! Which channels a bearer may read: asked by the HTTP layer before it takes a socket over, since a
//! refusal of all of them is an HTTP error, and by the session.

use super::Settings;
use crate::{
    access::{Access, Denied, Grant, Right},
    channel::Channel,
    cursor::Cursor,
    engine::Start,
    time::Now,
};

/// A channel that is not subscribed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The name as resolved, or as given where it can't be.
    pub channel: String,
    /// Which check failed.
    pub check: &'static str,
    /// What to do.
    pub detail: String,
}

/// Which of the channels may be subscribed by this bearer.
/// `earliest` needs the `history` right.
#[must_use]
pub fn admit(
    names: &[String],
    cursor: &Cursor,
    access: &Access,
    grants: &[Grant],
    settings: &Settings,
    now: Now,
) -> (Vec<Channel>, Vec<Refused>) {
    let mut granted: Vec<Channel> = Vec::with_capacity(names.len());
    let mut refused = Vec::new();
    for name in names {
        match admit_one(name, cursor, access, grants, settings, now) {
            Ok(channel) if !granted.contains(&channel) => granted.push(channel),
            Ok(_) => {}
            Err((channel, Denied { check, detail })) => {
                refused.push(Refused {
                    channel,
                    check,
                    detail,
                });
            }
        }
    }
    (granted, refused)
}

fn admit_one(
    name: &str,
    cursor: &Cursor,
    access: &Access,
    grants: &[Grant],
    settings: &Settings,
    now: Now,
) -> Result<Channel, (String, Denied)> {
    let channel = resolve(name, access).map_err(|denied| (name.to_owned(), denied))?;
    let check = |right| {
        access
            .check_with(right, &channel, &settings.namespaces, grants, now.wall)
            .map_err(|denied| (channel.as_str().to_owned(), denied))
    };
    check(Right::Subscribe)?;
    if cursor.start(&channel) == Start::Earliest {
        check(Right::History)?;
    }
    Ok(channel)
}

/// The channel that a name means for this bearer.
///
/// # Errors
/// `@me` without a user, or what is wrong with the name.
pub fn resolve(name: &str, access: &Access) -> Result<Channel, Denied> {
    if name == "@me" {
        return access
            .user()
            .map(Channel::inbox)
            .ok_or_else(Denied::no_user);
    }
    Channel::parse(name).map_err(|error| Denied {
        check: "channel",
        detail: error.to_string(),
    })
}
