//! Waves of connections that come and go: whether memory comes back.

use std::{thread, time::Duration};

use anyhow::Result;
use bellwire_bench::{Channels, Tokens, Wire, process};

use super::memory::silent;
use crate::lab::{
    cycles::Effort,
    page::{Part, Table},
    rig::{Rig, count, group},
    server::{JWT_KEY, Kind},
};

const WAVES: usize = 4;
/// The wave that is held to a bar.
const BAR: usize = 10_000;

pub(crate) fn measure(_: Effort) -> Result<Part> {
    let mut part = Part::new("Waves of connections");
    part.say(
        "WebSockets with a user and a channel each come and go, all of a wave at once. Resident memory, read \
         ten seconds after the last close of a wave.",
    );
    let mut table = Table::new(&[
        "connections in a wave",
        "before",
        "after 1",
        "after 2",
        "after 3",
        "after 4",
    ]);
    for connections in [BAR, 18_000] {
        let mut rig = Rig::start(&Kind::guarded())?;
        let mut looks = vec![process::memory(rig.server.pid())?.rss];
        for _ in 0..WAVES {
            let mut group = group(rig.server.target(Wire::Ws), connections, Channels::Own(1));
            group.tokens = Tokens::Minted(JWT_KEY.to_owned());
            rig.open(group, silent())?;
            rig.worker.close()?;
            // The measure is defined so; there is nothing to wait for.
            thread::sleep(Duration::from_secs(10));
            looks.push(process::memory(rig.server.pid())?.rss);
        }
        let megabytes = |nth: usize| format!("{:.2} MB", count(looks[nth]) / 1e6);
        table.row([
            connections.to_string(),
            megabytes(0),
            megabytes(1),
            megabytes(2),
            megabytes(3),
            megabytes(4),
        ]);
        if connections == BAR {
            let growth = (count(looks[WAVES]) - count(looks[1])) / 1e6;
            part.at_most(
                &format!(
                    "{WAVES} waves of {BAR}: MB more after the last than after the first: ≤ 1"
                ),
                1.0,
                growth,
            );
        }
    }
    part.table(&table);
    Ok(part)
}
