//! Listing and closing connections, for operators.

use std::net::{IpAddr, SocketAddr};

use bellwire_core::{
    channel::{Channel, UserId},
    shard::{Cause, ConnectionId},
};
use serde::Serialize;

use super::{Answer, Asked, json, query};
use crate::{access::Purpose, problem::Problem};

#[derive(Serialize)]
struct Listing {
    connections: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

#[derive(Clone, Serialize)]
struct Row {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    transport: &'static str,
    address: Option<String>,
    age_ms: u64,
    channels: Vec<String>,
    lag: usize,
}

/// A client's address; no port where only a proxy knows it.
fn shown((address, port): (IpAddr, Option<u16>)) -> String {
    port.map_or_else(
        || address.to_string(),
        |port| SocketAddr::new(address, port).to_string(),
    )
}

impl Asked<'_> {
    pub(super) async fn connections(&self) -> Answer {
        let access = self.admit(Purpose::Read)?;
        access
            .may_manage()
            .map_err(|denied| Problem::denied(&access, &denied))?;
        let (mut user, mut channel, mut limit, mut after) = (None, None, 1_000, None);
        for (name, value) in query::pairs(&self.parts) {
            match &*name {
                "user" => user = Some(value.into_owned()),
                "channel" => {
                    let parsed = Channel::parse(&value);
                    let invalid = |error| Problem::invalid("channel", format!("{error}"));
                    channel = Some(parsed.map_err(invalid)?);
                }
                "limit" => limit = query::limit(&value)?,
                "after" => after = Some(value.into_owned()),
                _ => {}
            }
        }
        let answers = self
            .local
            .on_all(move |local| {
                local.with(|shard, now| {
                    let found = shard.list_connections(user.as_deref(), channel.as_ref(), now);
                    let rows = found.into_iter().map(|info| Row {
                        id: info.id.to_string(),
                        user: info.access.user().map(|user| user.as_str().to_owned()),
                        transport: info.transport.as_str(),
                        address: shard.sockets().client(info.socket).map(shown),
                        age_ms: info.age_ms,
                        channels: info.channels.iter().map(ToString::to_string).collect(),
                        lag: info.lag,
                    });
                    rows.collect::<Vec<_>>()
                })
            })
            .await;
        let mut rows: Vec<Row> = answers.into_iter().flatten().collect();
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        rows.retain(|row| after.as_ref().is_none_or(|after| row.id > *after));
        let more = rows.len() > limit;
        rows.truncate(limit);
        let after = rows.last().filter(|_| more).map(|row| row.id.clone());
        let listing = Listing {
            connections: rows,
            after,
        };
        Ok(json(
            serde_json::to_vec(&listing).expect("strings and numbers are JSON"),
        ))
    }

    pub(super) async fn close_connection(&self, id: ConnectionId) -> Answer {
        self.close_where(move |found, _| *found == id).await
    }

    pub(super) async fn close_user(&self, user: UserId) -> Answer {
        self.close_where(move |_, found| found == Some(user.as_str()))
            .await
    }

    async fn close_where(
        &self,
        which: impl Fn(&ConnectionId, Option<&str>) -> bool + Send + Sync + 'static,
    ) -> Answer {
        let access = self.admit(Purpose::Change)?;
        access
            .may_manage()
            .map_err(|denied| Problem::denied(&access, &denied))?;
        let answers = self
            .local
            .on_all(move |local| {
                let reason = "closed by the application";
                local.with(|shard, now| {
                    shard.close_where(Cause::ClosedByServer, reason, now, &which)
                })
            })
            .await;
        let closed: usize = answers.into_iter().sum();
        Ok(json(format!("{{\"closed\":{closed}}}").into_bytes()))
    }
}
