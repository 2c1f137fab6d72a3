//! A storm: all connections of a group are cut at once, miss some publications, and come back
//! with their cursors.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::{clock, load::Party, worker::share};

/// When deliveries that do not come are given up: nothing has arrived for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Storm {
    /// Whose connections.
    pub group: usize,
    /// Publications to each channel while everybody is away.
    pub missed: u32,
    /// How long the server has to notice that everybody is gone, in seconds.
    pub away: f64,
}

/// What became of it; times in seconds from when everybody began to come back.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Stormed {
    /// Until 99 of 100 were subscribed again.
    pub back_99: f64,
    /// Until all were.
    pub back: f64,
    /// Until 99 of 100 had everything.
    pub caught_up_99: f64,
    /// Until all had everything.
    pub caught_up: f64,
    /// Publications caught up on, all connections together.
    pub caught: u64,
    /// Publications that no delivery follows.
    pub lost: u64,
    /// Deliveries that had come before.
    pub repeated: u64,
}

/// Runs it.
pub(crate) fn run(
    party: &mut Party,
    storm: &Storm,
    mut progress: impl FnMut(f64),
) -> Result<Stormed> {
    let Party { crowd, publishers } = party;
    let channels = publishers.published().len();
    // Each channel says something first, so that everybody has a cursor.
    publish(publishers, channels, 1)?;
    let cursors = publishers.cursors.clone();
    let patience = Instant::now() + PATIENCE;
    while crowd.ledger.missing(publishers.published()) > 0 {
        crowd.read::<256>(Duration::from_millis(5))?;
        if Instant::now() > patience {
            bail!("the last words before the storm do not arrive");
        }
    }
    let before = (
        crowd.ledger.deliveries,
        crowd.ledger.lost,
        crowd.ledger.repeated,
    );
    let group = crowd.group().clone();
    let cursor = |nth: usize| {
        let first = group.channels.first(nth);
        let ids = &cursors[first..first + group.channels.each()];
        let ids: Option<Vec<&str>> = ids.iter().map(Option::as_deref).collect();
        ids.map(|ids| ids.join("."))
    };
    let total = crowd.len();
    crowd.cut();
    std::thread::sleep(Duration::from_secs_f64(storm.away));
    publish(publishers, channels, storm.missed)?;
    let start = Instant::now();
    let mut found = Stormed::default();
    let published = publishers.published().to_vec();
    let nearly = total - total / 100;
    let mut look = Instant::now();
    crowd.join(cursor, |crowd, there| {
        progress(share(there, total) / 2.0);
        let now = start.elapsed().as_secs_f64();
        if there >= nearly && found.back_99 == 0.0 {
            found.back_99 = now;
        }
        if there >= nearly && look.elapsed() > Duration::from_millis(5) {
            note_caught_up(&mut found, crowd.up_to_date(&published), nearly, total, now);
            look = Instant::now();
        }
    })?;
    found.back = start.elapsed().as_secs_f64();
    let mut heard = Instant::now();
    while found.caught_up == 0.0 {
        if crowd.read::<256>(Duration::from_millis(5))? {
            heard = Instant::now();
        }
        let now = start.elapsed().as_secs_f64();
        note_caught_up(&mut found, crowd.up_to_date(&published), nearly, total, now);
        if heard.elapsed() > PATIENCE {
            let caught_up = crowd.up_to_date(&published);
            bail!("only {caught_up} of {total} have caught up, and nothing comes any more");
        }
    }
    found.caught = crowd.ledger.deliveries - before.0;
    found.lost = crowd.ledger.lost - before.1;
    found.repeated = crowd.ledger.repeated - before.2;
    Ok(found)
}

fn note_caught_up(found: &mut Stormed, caught_up: usize, nearly: usize, total: usize, now: f64) {
    if caught_up >= nearly && found.caught_up_99 == 0.0 {
        found.caught_up_99 = now;
    }
    if caught_up == total && found.caught_up == 0.0 {
        found.caught_up = now;
    }
}

/// Publishes so many times to every channel and waits for the answers.
fn publish(publishers: &mut crate::publish::Publishers, channels: usize, times: u32) -> Result<()> {
    for _ in 0..times {
        for channel in 0..channels {
            publishers.publish(channel, clock::now())?;
        }
    }
    publishers.send_waiting(true)?;
    while publishers.unanswered() > 0 {
        publishers.answers(Duration::from_millis(5))?;
        publishers.send_waiting(true)?;
    }
    Ok(())
}
