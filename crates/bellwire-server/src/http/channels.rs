//! History and the listing of channels, for applications.

use std::collections::BTreeMap;

use bellwire_core::{
    access::{Denied, Right},
    channel::Channel,
    engine::{ChannelRecord, Order, Reply, Request, Start},
    envelope::write_history,
    position::Id,
    shard::history_start,
};
use serde::Serialize;

use super::{Answer, Asked, json, query};
use crate::{
    access::Purpose,
    problem::{Problem, UNAVAILABLE},
};

#[derive(Serialize)]
struct Listing<'a> {
    channels: Vec<Row<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a str>,
}

#[derive(Serialize)]
struct Row<'a> {
    channel: &'a str,
    subscribers: usize,
    publications: usize,
    bytes: usize,
    id: Option<String>,
}

/// What is known of one channel, put together from its shards.
#[derive(Default)]
struct Known {
    record: Option<ChannelRecord>,
    subscribers: usize,
}

impl Asked<'_> {
    pub(super) async fn history(&self, channel: Channel) -> Answer {
        let access = self.admit(Purpose::Read)?;
        let namespaces = &self.local.shared.settings.namespaces;
        access
            .check(Right::History, &channel, namespaces)
            .map_err(|denied| Problem {
                field: Some("channel"),
                ..Problem::denied(&access, &denied)
            })?;
        let settings = &self.local.shared.settings;
        let (mut cursor, mut limit, mut order) = (String::new(), 100, Order::Asc);
        for (name, value) in query::pairs(&self.parts) {
            match &*name {
                "cursor" => cursor = value.into_owned(),
                "limit" => limit = query::limit(&value)?,
                "order" => order = read_order(&value)?,
                _ => {}
            }
        }
        let start = history_start(&cursor, &channel, order, settings).ok_or_else(|| {
            let detail = "that is not an id of this channel, nor latest or earliest";
            Problem::invalid("cursor", detail)
        })?;
        let request = Request::History {
            channel: channel.clone(),
            start,
            order,
            limit,
            max_bytes: settings.max_answer_bytes,
        };
        match self.local.request(request).await {
            Ok(Reply::History(page)) => {
                if matches!(start, Start::After(at) if at.epoch == page.epoch)
                    && page.gap.is_some_and(is_unknown)
                {
                    let detail = "the cursor is ahead of the channel";
                    return Err(Problem::invalid("cursor", detail).into());
                }
                let mut out = Vec::new();
                write_history(&mut out, &channel, &page);
                Ok(json(out))
            }
            _ => {
                let problem = Problem::new(UNAVAILABLE, "the log is out of reach; try again");
                Err(problem.with_retry_after(1).into())
            }
        }
    }

    pub(super) async fn channels(&self) -> Answer {
        let access = self.admit(Purpose::Read)?;
        access
            .may_list()
            .map_err(|denied: Denied| Problem::denied(&access, &denied))?;
        let (mut prefix, mut limit, mut after) = (String::new(), 1_000, None);
        for (name, value) in query::pairs(&self.parts) {
            match &*name {
                "prefix" => prefix = value.into_owned(),
                "limit" => limit = query::limit(&value)?,
                "after" => after = Some(value.into_owned()),
                _ => {}
            }
        }
        let mut known = self.gather(prefix, after, limit).await;
        // A page may show less than it went through: inboxes are for operators only.
        let more = known.len() >= limit;
        known.truncate(limit);
        let after = known
            .last()
            .filter(|_| more)
            .map(|(channel, _)| channel.as_str());
        let rows: Vec<Row<'_>> = known
            .iter()
            .filter(|(channel, _)| access.sees(channel))
            .map(|(channel, known)| row(channel, known))
            .collect();
        let listing = Listing {
            channels: rows,
            after,
        };
        Ok(json(
            serde_json::to_vec(&listing).expect("strings and numbers are JSON"),
        ))
    }

    /// Records and local subscribers of all shards, by name.
    async fn gather(
        &self,
        prefix: String,
        after: Option<String>,
        limit: usize,
    ) -> Vec<(Channel, Known)> {
        let answers = self
            .local
            .on_all(move |local| {
                local.inspect(|shard| {
                    let records = shard.list_records(&prefix, after.as_deref(), limit);
                    let subscribed = shard.list_subscribed(&prefix, after.as_deref(), limit);
                    (records, subscribed)
                })
            })
            .await;
        let mut known: BTreeMap<String, (Channel, Known)> = BTreeMap::new();
        let entry = |channel: &Channel| (channel.clone(), Known::default());
        for (records, subscribed) in answers {
            for record in records {
                let name = record.channel.as_str().to_owned();
                let (_, known) = known.entry(name).or_insert_with(|| entry(&record.channel));
                known.record = Some(record);
            }
            for (channel, subscribers) in subscribed {
                let name = channel.as_str().to_owned();
                known
                    .entry(name)
                    .or_insert_with(|| entry(&channel))
                    .1
                    .subscribers += subscribers;
            }
        }
        known.into_values().collect()
    }
}

fn row<'a>(channel: &'a Channel, known: &Known) -> Row<'a> {
    let record = known.record.as_ref();
    Row {
        channel: channel.as_str(),
        subscribers: known.subscribers,
        publications: record.map_or(0, |record| record.publications),
        bytes: record.map_or(0, |record| record.bytes),
        id: record.map(|record| Id::new(channel, record.head).to_string()),
    }
}

fn is_unknown(gap: bellwire_core::engine::Gap) -> bool {
    gap.reason == bellwire_core::engine::GapReason::PositionUnknown
}

fn read_order(value: &str) -> Result<Order, Problem> {
    match value {
        "asc" => Ok(Order::Asc),
        "desc" => Ok(Order::Desc),
        _ => Err(Problem::invalid(
            "order",
            format!("order is asc or desc, not {value:?}"),
        )),
    }
}
