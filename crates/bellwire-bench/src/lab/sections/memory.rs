//! What an idle connection takes: in the server, and in the kernel.

use anyhow::Result;
use bellwire_bench::{
    Channels, Group, Publishing, Target, Tokens, Via, Wire,
    process::{self, Kernel, Memory},
};

use crate::lab::{
    cycles::{Effort, emphasized},
    page::{Part, Table},
    rig::{Rig, count, group},
    server::{JWT_KEY, Kind},
};

/// Connections before the first look, so that what exists once is not counted.
const BEFORE: usize = 100;
/// Connections added before the second look, and the third.
const STEPS: [usize; 2] = [10_000, 7_900];
/// Each figure is the median of so many fresh processes.
const TIMES: usize = 3;

/// Bytes per connection.
struct Found {
    user: [f64; 2],
    /// Slab of both ends of a connection, which are on this machine.
    slab: f64,
}

pub(crate) fn measure(_: Effort) -> Result<Part> {
    let mut part = Part::new("Memory of an idle connection");
    part.say(&format!(
        "Growth of a fresh process's PSS from {BEFORE} to 10,100 and to 18,000 connections, median of {TIMES} \
         processes; heartbeats on; each connection has a user and a token of its own. A poll is held after \
         three answers. The kernel's part is half of the growth of its slab caches, since both ends are here.",
    ));
    let mut table = Table::new(&[
        "server",
        "connections",
        "to 10,100",
        "to 18,000",
        "the kernel's, each",
    ]);
    for (own, limits) in [
        (true, [512.0, 512.0, 1024.0]),
        (false, [505.0, 361.0, 1024.0]),
    ] {
        let channels = if own {
            Channels::Own(1)
        } else {
            Channels::Shared(1)
        };
        let place = if own { "a channel each" } else { "one channel" };
        for (wire, limit) in [Wire::Ws, Wire::Sse, Wire::Poll].into_iter().zip(limits) {
            let found = median(&Kind::guarded(), wire, channels)?;
            table.row(row("Bellwire", wire, place, &found));
            let what = format!("bytes per idle connection, {}, {place}", wire.name());
            part.at_most(
                &format!("{what}, to 10,100: ≤ {limit}"),
                limit,
                found.user[0],
            );
            part.at_most(
                &format!("{what}, to 18,000: ≤ {limit}"),
                limit,
                found.user[1],
            );
        }
    }
    for wire in [Wire::Ws, Wire::Sse] {
        for peer in ["uwebsockets", "nchan"] {
            let kind = Kind::Peer(peer);
            let found = median(&kind, wire, Channels::Shared(1))?;
            table.row(row(kind.name(), wire, "one channel", &found));
        }
    }
    part.table(&table);
    Ok(part)
}

fn row(server: &str, wire: Wire, place: &str, found: &Found) -> [String; 5] {
    [
        emphasized(server),
        format!("{}, {place}", wire.name()),
        format!("{:.0}", found.user[0]),
        format!("{:.0}", found.user[1]),
        format!("{:.0}", found.slab),
    ]
}

fn median(kind: &Kind, wire: Wire, channels: Channels) -> Result<Found> {
    let mut all = Vec::new();
    for _ in 0..TIMES {
        all.push(once(kind, wire, channels)?);
    }
    all.sort_by(|one, other| one.user[0].total_cmp(&other.user[0]));
    Ok(all.swap_remove(TIMES / 2))
}

fn once(kind: &Kind, wire: Wire, channels: Channels) -> Result<Found> {
    let mut rig = Rig::start(kind)?;
    let target = Target {
        // A hold of a second, so that three are answered soon.
        query: if wire == Wire::Poll {
            "&timeout=1".to_owned()
        } else {
            String::new()
        },
        ..rig.server.target(wire)
    };
    let mut looks: Vec<(Memory, Kernel)> = Vec::new();
    for (nth, connections) in [BEFORE, STEPS[0], STEPS[1]].into_iter().enumerate() {
        let mut group = Group {
            prefix: format!("g{nth}"),
            first_user: nth * 20_000,
            ..group(target.clone(), connections, channels)
        };
        if matches!(channels, Channels::Shared(_)) {
            group.prefix = "all".to_owned();
        }
        if kind.is_bellwire() {
            group.tokens = Tokens::Minted(JWT_KEY.to_owned());
        }
        rig.open(group, silent())?;
        // Three answers to each poll; streams only settle.
        rig.worker
            .idle(if wire == Wire::Poll { 4.5 } else { 0.5 }, &mut |_| {})?;
        looks.push((process::memory(rig.server.pid())?, process::kernel()?));
    }
    let user = [1, 2].map(|nth| {
        let more: usize = STEPS[..nth].iter().sum();
        growth(looks[0].0.pss, looks[nth].0.pss, more)
    });
    Ok(Found {
        user,
        slab: growth(looks[0].1.slab, looks[1].1.slab, STEPS[0]) / 2.0,
    })
}

fn growth(before: u64, after: u64, connections: usize) -> f64 {
    count(after.saturating_sub(before)) / count(connections as u64)
}

/// Nobody publishes.
pub(crate) fn silent() -> Publishing {
    Publishing {
        connections: 0,
        via: Via::Requests,
        batch: 1,
        payload: 0,
    }
}
