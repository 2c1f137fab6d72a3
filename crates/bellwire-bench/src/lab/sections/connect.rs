//! What it costs to let a WebSocket in.

use anyhow::Result;
use bellwire_bench::{Channels, Tokens, Wire};

use super::memory::silent;
use crate::lab::{
    cycles::Effort,
    page::{Part, Table},
    rig::{Rig, count, group},
    server::{BARE, JWT_KEY, Kind, es256_keys},
    statistics::Spread,
};

/// Connections in a cycle.
const WAVE: usize = 2_000;

pub(crate) fn measure(effort: Effort) -> Result<Part> {
    let mut part = Part::new("Connecting");
    part.say(&format!(
        "CPU of the server from the SYN to the hello of a WebSocket that subscribes to one channel; waves of \
         {WAVE}, each connection's token seen for the first time."
    ));
    let (private, public) = es256_keys()?;
    let cases = [
        ("bare accept and upgrade", BARE, Tokens::None),
        ("Bellwire, no token", Kind::bellwire(), Tokens::None),
        (
            "Bellwire, HS256",
            Kind::guarded(),
            Tokens::Minted(JWT_KEY.to_owned()),
        ),
        (
            "Bellwire, ES256",
            Kind::Guarded(vec!["--jwt-key".to_owned(), public]),
            Tokens::Minted(private),
        ),
    ];
    let mut rigs = Vec::new();
    for (label, kind, tokens) in cases {
        rigs.push((label, Rig::start(&kind)?, tokens));
    }
    let costs = waves(effort, &mut rigs)?;
    let mut table = Table::new(&[
        "",
        "CPU µs per connection",
        "ratio (IQR)",
        "µs more than without a token",
    ]);
    let ratio = |nth: usize| {
        Spread::of(
            costs[nth]
                .iter()
                .zip(&costs[0])
                .map(|(one, bare)| one / bare)
                .collect(),
        )
    };
    let more = |nth: usize| {
        Spread::of(
            costs[nth]
                .iter()
                .zip(&costs[1])
                .map(|(one, open)| one - open)
                .collect(),
        )
        .median
    };
    for (nth, (label, _, _)) in rigs.iter().enumerate() {
        table.row([
            (*label).to_owned(),
            format!("{:.1}", Spread::of(costs[nth].clone()).median),
            ratio(nth).with_quartiles(),
            format!("{:.1}", more(nth)),
        ]);
    }
    part.table(&table);
    part.at_most(
        "connect without a token: CPU ≤ 1.4× of a bare accept and upgrade",
        1.4,
        ratio(1).median,
    );
    part.at_most("connect with HS256: at most 5 µs more", 5.0, more(2));
    part.verdict(
        "connect with ES256: reported",
        &format!("{:.1} µs more", more(3)),
        true,
    );
    Ok(part)
}

/// A server with its label, and what its connections present.
type Case = (&'static str, Rig, Tokens);

/// CPU of the server per connection in microseconds, by case and cycle.
fn waves(effort: Effort, rigs: &mut [Case]) -> Result<Vec<Vec<f64>>> {
    let mut costs: Vec<Vec<f64>> = vec![Vec::new(); rigs.len()];
    for cycle in 0..=effort.cycles {
        for (nth, (_, rig, tokens)) in rigs.iter_mut().enumerate() {
            let mut group = group(rig.server.target(Wire::Ws), WAVE, Channels::Shared(1));
            group.tokens = tokens.clone();
            // The name of the users makes the tokens of each wave new ones.
            group.prefix = format!("all{cycle}");
            let before = rig.server.cpu()?;
            rig.open(group, silent())?;
            let used = (rig.server.cpu()? - before).as_secs_f64();
            rig.worker.close()?;
            if cycle > 0 {
                costs[nth].push(used * 1e6 / count(WAVE as u64));
            }
        }
    }
    Ok(costs)
}
