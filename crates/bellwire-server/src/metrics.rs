//! Metrics for Prometheus, gathered from the shards when they are asked for.
//!
//! Shards count in plain numbers of their own; nothing on the way of a publication is shared for
//! the sake of a counter. No metric has a channel or a user as a label.

use std::{collections::BTreeMap, sync::atomic::AtomicU64};

use bellwire_core::{
    engine::GapReason,
    shard::{Cause, Gauges, Stats, Transport},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{
    http::{FALLBACKS, OTHER_FALLBACK},
    problem::{ERROR_CODES, RATE_LIMITED},
    shard::{Shared, local_on_all},
};

/// The content type of [`gather`]'s text.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByTransport {
    transport: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByShard {
    shard: usize,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByCode {
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

type Count = Counter<u64, AtomicU64>;

/// The sums over all shards.
#[derive(Default)]
struct Totals {
    stats: Stats,
    gauges: Gauges,
    records: usize,
    history_bytes: usize,
    foreign_epochs: u64,
    publishes: u64,
    evictions: u64,
    idempotency_keys: usize,
    refusals: BTreeMap<&'static str, u64>,
    /// Connections of each shard.
    by_shard: Vec<usize>,
    fallbacks: BTreeMap<&'static str, u64>,
    malformed_forwarded: u64,
}

/// All metrics as text.
pub(crate) async fn gather(shared: &Shared) -> String {
    let answers = local_on_all(shared, |local| {
        let (refusals, fallbacks) = (local.refusals(), local.fallbacks());
        let malformed_forwarded = local.malformed_forwarded();
        local.inspect(|shard| {
            (
                shard.stats(),
                shard.gauges(),
                shard.usage(),
                refusals,
                fallbacks,
                malformed_forwarded,
            )
        })
    });
    let mut totals = Totals::default();
    for (stats, gauges, usage, refusals, fallbacks, malformed_forwarded) in answers.await {
        totals.add(&stats, &gauges);
        *totals.refusals.entry(RATE_LIMITED.name).or_default() += stats.rate_limited;
        totals.malformed_forwarded += malformed_forwarded;
        totals.records += usage.channels;
        totals.history_bytes += usage.history_bytes;
        totals.foreign_epochs += usage.foreign_epochs;
        totals.publishes += usage.appended;
        totals.evictions += usage.evictions;
        totals.idempotency_keys += usage.idempotency_keys;
        for (code, count) in refusals {
            *totals.refusals.entry(code).or_default() += count;
        }
        for (reason, count) in fallbacks {
            *totals.fallbacks.entry(reason).or_default() += count;
        }
    }
    let mut registry = Registry::with_prefix("bellwire");
    connections(&mut registry, &totals, shared);
    delivery(&mut registry, &totals);
    log(&mut registry, &totals);
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to memory does not fail");
    text
}

impl Totals {
    fn add(&mut self, stats: &Stats, gauges: &Gauges) {
        let sum = &mut self.stats;
        self.by_shard.push(gauges.connections.iter().sum());
        sum_into(&mut sum.opened, &stats.opened);
        sum_into(&mut sum.closed, &stats.closed);
        sum_into(&mut sum.deliveries, &stats.deliveries);
        sum_into(&mut sum.gaps, &stats.gaps);
        sum.delivered_bytes += stats.delivered_bytes;
        sum.resumed += stats.resumed;
        sum.replayed += stats.replayed;
        sum.pages += stats.pages;
        sum.blocked += stats.blocked;
        sum.shrunk += stats.shrunk;
        sum.compressions += stats.compressions;
        let all = &mut self.gauges;
        for (total, count) in all.connections.iter_mut().zip(gauges.connections) {
            *total += count;
        }
        all.subscriptions += gauges.subscriptions;
        all.channels += gauges.channels;
        all.catchup_bytes += gauges.catchup_bytes;
        all.output_bytes += gauges.output_bytes;
    }
}

fn sum_into(totals: &mut [u64], counts: &[u64]) {
    for (total, count) in totals.iter_mut().zip(counts) {
        *total += count;
    }
}

fn connections(registry: &mut Registry, totals: &Totals, shared: &Shared) {
    let open = Family::<ByTransport, Gauge>::default();
    let opened = Family::<ByTransport, Count>::default();
    for (nth, transport) in Transport::ALL.into_iter().enumerate() {
        let label = ByTransport {
            transport: transport.as_str(),
        };
        open.get_or_create(&label)
            .set(signed(totals.gauges.connections[nth]));
        opened
            .get_or_create(&label)
            .inc_by(totals.stats.opened[nth]);
    }
    let closed = Family::<ByReason, Count>::default();
    for (nth, cause) in Cause::ALL.into_iter().enumerate() {
        let label = ByReason {
            reason: cause.as_str(),
        };
        closed
            .get_or_create(&label)
            .inc_by(totals.stats.closed[nth]);
    }
    let by_shard = Family::<ByShard, Gauge>::default();
    for (shard, &count) in totals.by_shard.iter().enumerate() {
        by_shard
            .get_or_create(&ByShard { shard })
            .set(signed(count));
    }
    registry.register("connections", "Sessions open now", open);
    let help = "Sessions open now, by event loop: uneven where one address has them all";
    registry.register("shard_connections", help, by_shard);
    registry.register("connections_opened", "Sessions opened", opened);
    registry.register("connections_closed", "Sessions ended, by cause", closed);
    let refused = Family::<ByCode, Count>::default();
    for code in ERROR_CODES {
        drop(refused.get_or_create(&ByCode { code: code.name }));
    }
    for (&code, &count) in &totals.refusals {
        refused.get_or_create(&ByCode { code }).inc_by(count);
    }
    let help = "Requests refused, limits and WebSocket handshakes included, by error code";
    registry.register("requests_refused", help, refused);
    let fallbacks = Family::<ByReason, Count>::default();
    for reason in FALLBACKS.into_iter().chain([OTHER_FALLBACK]) {
        let count = totals.fallbacks.get(reason).copied().unwrap_or_default();
        fallbacks.get_or_create(&ByReason { reason }).inc_by(count);
    }
    let help = "Transports that clients say they gave up, by transport and how it failed";
    registry.register("client_fallbacks", help, fallbacks);
    let help = "Requests of trusted proxies without a readable address of their client";
    counter(
        registry,
        "forwarded_malformed",
        help,
        totals.malformed_forwarded,
    );
    let sockets = shared.census.connections();
    gauge(
        registry,
        "sockets",
        "TCP connections, those between two requests included",
        sockets,
    );
    let subscriptions = totals.gauges.subscriptions;
    gauge(
        registry,
        "subscriptions",
        "Connections times channels",
        subscriptions,
    );
    let draining = usize::from(shared.drain.is_draining());
    gauge(
        registry,
        "draining",
        "1 while the node is leaving",
        draining,
    );
}

fn delivery(registry: &mut Registry, totals: &Totals) {
    let deliveries = Family::<ByTransport, Count>::default();
    for (nth, transport) in Transport::ALL.into_iter().enumerate() {
        let label = ByTransport {
            transport: transport.as_str(),
        };
        deliveries
            .get_or_create(&label)
            .inc_by(totals.stats.deliveries[nth]);
    }
    registry.register("deliveries", "Publications handed to sockets", deliveries);
    let gaps = Family::<ByReason, Count>::default();
    for reason in GAP_REASONS {
        let label = ByReason {
            reason: reason.as_str(),
        };
        gaps.get_or_create(&label)
            .inc_by(totals.stats.gaps[reason as usize]);
    }
    let resumes = Family::<ByResult, Count>::default();
    resumes
        .get_or_create(&ByResult { result: "ok" })
        .inc_by(totals.stats.resumed);
    let lost = totals.stats.gaps.iter().sum();
    resumes
        .get_or_create(&ByResult { result: "gap" })
        .inc_by(lost);
    registry.register("gaps", "Losses said to clients, by reason", gaps);
    registry.register(
        "resume",
        "Starts of subscriptions, by what became of them",
        resumes,
    );
    let stats = &totals.stats;
    counter(
        registry,
        "delivery_bytes",
        "Bytes handed to sockets",
        stats.delivered_bytes,
    );
    counter(
        registry,
        "replayed_messages",
        "Publications sent from the log",
        stats.replayed,
    );
    counter(
        registry,
        "log_pages",
        "Pages of the log read for catch-up",
        stats.pages,
    );
    counter(
        registry,
        "blocked_sends",
        "Sends a socket did not take whole",
        stats.blocked,
    );
    let help = "Announcements that reached a shard without their publication, its inbox being full";
    counter(registry, "shrunk_announcements", help, stats.shrunk);
    let help = "Payloads compressed for WebSockets, each once for all who read it so";
    counter(registry, "compressions", help, stats.compressions);
    let help = "Payload bytes in pages of the log for connections behind the tail";
    gauge(registry, "catchup_bytes", help, totals.gauges.catchup_bytes);
    let help = "Bytes held for single connections";
    gauge(registry, "output_bytes", help, totals.gauges.output_bytes);
}

fn log(registry: &mut Registry, totals: &Totals) {
    counter(
        registry,
        "publishes",
        "Publications appended",
        totals.publishes,
    );
    gauge(
        registry,
        "channels",
        "Channels with local subscribers",
        totals.gauges.channels,
    );
    gauge(
        registry,
        "channel_records",
        "Channels with history",
        totals.records,
    );
    gauge(
        registry,
        "history_bytes",
        "Bytes of history held",
        totals.history_bytes,
    );
    let help = "Channels dropped for the node's budgets";
    counter(registry, "evictions", help, totals.evictions);
    let help = "Idempotency keys remembered";
    gauge(registry, "idempotency_keys", help, totals.idempotency_keys);
    let help = "Cursors of another epoch: a restart, or a foreign node without a backplane";
    counter(registry, "foreign_epochs", help, totals.foreign_epochs);
}

const GAP_REASONS: [GapReason; 6] = [
    GapReason::Retention,
    GapReason::EpochChanged,
    GapReason::SlowConsumer,
    GapReason::BackplaneLoss,
    GapReason::PositionUnknown,
    GapReason::Limit,
];

fn gauge(registry: &mut Registry, name: &str, help: &str, value: usize) {
    let gauge = <Gauge>::default();
    gauge.set(signed(value));
    registry.register(name, help, gauge);
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter = Count::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn signed(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
