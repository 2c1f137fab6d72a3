//! What a seed makes of a world: shards, bounds, rules, who subscribes to what, and how clients
//! connect.

use std::sync::Arc;

use bellwire_core::{
    channel::{Channel, Pattern},
    engine::MaxCatchup,
    format::{Framing, SseContent, SseFormat},
    namespace::{Namespace, Namespaces, Retention},
    shard::Settings,
};

use super::{
    bearers::user_access,
    client::Client,
    faults::Fault,
    random::Random,
    way::Way,
    world::{Plan, World},
};

/// Channels, each with a rule of its own: two partitions for the ordinary ones.
pub(super) const CHANNELS: [&str; 7] = [
    "plain:1", "plain:2", "short:1", "short:2", "aged:1", "late:1", "none:1",
];
pub(super) const CLIENTS: usize = 5;
pub(super) fn plan(random: &mut Random, fault: Option<Fault>) -> Plan {
    let default = Namespaces::default()
        .of(&Channel::parse("x").expect("a valid name"))
        .clone();
    let rule = |pattern, count, age_ms, max_delay_ms| Namespace {
        pattern: Pattern::parse(pattern).expect("a valid name"),
        history: Retention {
            count,
            bytes: 1 << 20,
            age_ms,
        },
        max_delay_ms,
        ..default.clone()
    };
    let rules = vec![
        rule("short:*", 4, 600_000, 0),
        rule("aged:*", 100, 400, 0),
        rule("late:*", 100, 600_000, 40),
        rule("none:*", 0, 600_000, 0),
    ];
    let settings = Settings {
        namespaces: Arc::new(Namespaces::new(rules, default)),
        heartbeat_ms: 1_500,
        close_timeout_ms: 700,
        max_catchup: MaxCatchup {
            count: *random.pick(&[1_000, 1_000, 7]),
            bytes: 4 << 20,
        },
        catchup_bytes: *random.pick(&[64 << 20, 3_000]),
        max_output_bytes: 2_000,
        max_answer_bytes: 6_000,
        ..Settings::default()
    };
    Plan {
        shards: random.within(1, 4),
        settings,
        inbox_bytes: *random.pick(&[4 << 20, 4 << 20, 700, 0]),
        max_channels: *random.pick(&[1_000, 1_000, 1]),
        short_one_in: *random.pick(&[0, 2, 5]),
        fault,
    }
}

pub(super) fn client(n: usize, world: &World, random: &mut Random) -> Client {
    let mut channels: Vec<&str> = Vec::new();
    for _ in 0..random.within(1, 3) {
        let channel = *random.pick(&CHANNELS);
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    if random.one_in(4) {
        channels.push("@me");
    }
    let access = user_access(&format!("u{n}"), &["*"], u64::MAX - 1);
    let mut client = Client::new(&format!("u{n}"), &channels, access, world);
    client.earliest = random.one_in(4);
    client
}

pub(super) fn way(random: &mut Random, single: bool) -> Way {
    let framing = *random.pick(&[Framing::Chunked, Framing::Plain]);
    match random.below(6) {
        0 => match random.below(3) {
            0 => Way::WebSocket,
            1 => Way::Compressed { context: false },
            _ => Way::Compressed { context: true },
        },
        1 => Way::Commands,
        2 | 3 => Way::Sse(SseFormat {
            framing,
            own_id: single || random.one_in(2),
            content: match random.below(3) {
                0 if single => SseContent::Raw,
                1 => SseContent::Named,
                _ => SseContent::Envelope,
            },
        }),
        _ => Way::Poll {
            limit: *random.pick(&[1, 5, 100]),
            timeout_ms: *random.pick(&[0, 300]),
        },
    }
}
