//! Publications on their way from a POST body into the log of a channel that nobody reads.

use std::{hint::black_box, sync::Arc};

use bellwire_core::{
    access::{Access, Right},
    channel::Channel,
    draft::DraftText,
    engine::Reply,
    namespace::Namespaces,
};

use crate::{Scenario, Step, delivery::Node, encode::json, sinks::NOW};

/// Of publications with keys; all of them, counted or not, must be remembered.
const KEYED: u32 = 500;
const BATCH: u32 = 100;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "publish.one",
        unit: "publication",
        function: "DraftText::check, Shard::publish",
        steps: 1_000,
        each: 1,
        prepare: || one_by_one([item("")].into()),
    },
    Scenario {
        name: "publish.with-key",
        unit: "publication",
        function: "DraftText::check, Shard::publish with an idempotency key",
        steps: KEYED,
        each: 1,
        prepare: || one_by_one((0..2 * KEYED).map(with_key).collect()),
    },
    Scenario {
        name: "publish.batch",
        unit: "publication",
        function: "DraftText::check, Shard::publish of an array",
        steps: 20,
        each: BATCH,
        prepare: batch,
    },
];

/// One publication as JSON, perhaps with more members.
fn item(more: &str) -> String {
    let data = json();
    format!(r#"{{"channel":"orders:eu","event":"updated"{more},"data":{data}}}"#)
}

fn with_key(nth: u32) -> String {
    item(&format!(r#","idempotency_key":"order-{nth:08}""#))
}

/// What a server does with an item of a body, which mostly goes to the channel of the one before.
fn submit(
    node: &mut Node,
    namespaces: &Namespaces,
    text: &DraftText<'_>,
    last: &mut Option<Channel>,
) {
    let access: &Access = &node.access;
    let draft = text.check(access, 64 << 10, last.as_ref());
    let draft = draft.expect("a valid item");
    let allowed = access.check(Right::Publish, &draft.channel, namespaces);
    allowed.expect("everything is allowed in development");
    *last = Some(draft.channel.clone());
    let done = |reply| assert!(matches!(reply, Reply::Published(Ok(new)) if !new.duplicate));
    node.shard.publish(Box::new(draft), NOW, Box::new(done));
}

fn one_by_one(bodies: Vec<String>) -> Step {
    let (mut node, namespaces) = (Node::new(), Arc::<Namespaces>::default());
    let mut nth = 0;
    Box::new(move || {
        let item: DraftText<'_> = serde_json::from_str(black_box(&bodies[nth])).expect("an item");
        submit(&mut node, &namespaces, &item, &mut None);
        nth = (nth + 1) % bodies.len();
    })
}

fn batch() -> Step {
    let (mut node, namespaces) = (Node::new(), Arc::<Namespaces>::default());
    let items: Vec<String> = (0..BATCH).map(|_| item("")).collect();
    let body = format!("[{}]", items.join(","));
    Box::new(move || {
        let items: Vec<DraftText<'_>> = serde_json::from_str(black_box(&body)).expect("items");
        let mut last = None;
        for item in &items {
            submit(&mut node, &namespaces, item, &mut last);
        }
    })
}
