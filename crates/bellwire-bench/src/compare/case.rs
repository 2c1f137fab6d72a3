//! One transport at one rate.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Comparison, KEPT, PUBLISHERS, Row, Transport};
use crate::{
    load::{self, Load, Loaded, Order, Pace, Stream},
    process::cpu,
};

/// Measures it; `alone` is what the server uses without clients, in CPU seconds per second.
pub(super) fn run(
    plan: &Comparison,
    transport: Transport,
    per_minute: f64,
    alone: f64,
    progress: &mut dyn FnMut(&str, f64),
) -> Result<Row> {
    let name = format!("{}, {per_minute} a minute", transport.name());
    let rate = per_minute / 60.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few"
    )]
    let publishers = rate.clamp(1.0, PUBLISHERS) as usize;
    let mut parties = [plan.open(transport, "feed", plan.clients, publishers)?];
    let used = || plan.pid.map_or(Ok(Duration::ZERO), cpu);
    let load = Load {
        streams: vec![Stream {
            group: 0,
            pace: Pace::Rate(rate),
            order: Order::Turns,
        }],
        seconds: length(rate, plan.seconds),
        // Who sleeps takes a while to wake, which is much where everything is fast.
        busy: rate >= 1.0,
    };
    let before = used()?;
    let loaded = load::run(&mut parties, &load, |share| progress(&name, share))?.swap_remove(0);
    let used = (used()? - before).as_secs_f64() - alone * loaded.seconds;
    let used = plan.pid.map(|_| used.max(0.0));
    row(transport, per_minute, &loaded, used)
}

/// How long whole messages with the silence after each take, in seconds. One alone where a
/// publisher's connection would not outlive the silence.
fn length(rate: f64, about: f64) -> f64 {
    let messages = if rate * KEPT < 1.0 {
        1.0
    } else {
        (about * rate).floor().max(1.0)
    };
    messages / rate
}

fn row(transport: Transport, per_minute: f64, loaded: &Loaded, used: Option<f64>) -> Result<Row> {
    ensure!(
        loaded.lost + loaded.repeated == 0,
        "{}: {} messages were lost and {} came twice",
        transport.name(),
        loaded.lost,
        loaded.repeated
    );
    ensure!(loaded.deliveries > 0, "{}: nothing came", transport.name());
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let each = |count: u64| count as f64 / loaded.deliveries as f64;
    Ok(Row {
        transport,
        per_minute,
        messages: loaded.deliveries,
        requests: each(loaded.requests),
        sent: each(loaded.sent),
        received: each(loaded.bytes),
        p50_ms: loaded.latencies.quantile(0.5),
        p99_ms: loaded.latencies.quantile(0.99),
        cpu_us: used.map(|used| used * 1e6 * each(1)),
        memory: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_lasts_for_whole_messages() {
        assert_eq!(length(1.0 / 60.0, 15.0), 60.0);
        assert_eq!(length(1.0, 15.5), 15.0);
        assert_eq!(length(60.0, 3.0), 3.0);
        assert_eq!(length(0.5, 0.1), 2.0);
    }
}
