//! What an operator should be told without asking.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::shard::{Shared, local_on_all};

/// How many cursors of another epoch in a minute are suspicious.
const SUSPICIOUS: u64 = 10;
/// After a restart every client brings one; that is no reason to worry.
const GRACE_MINUTES: u32 = 5;

/// How often it is looked whose connections they are.
const LOOK: Duration = Duration::from_secs(10);
/// Clients that are looked at, of each shard.
const SAMPLE: usize = 256;
/// Fewer connections may well be one person's.
const CROWD: usize = 100;
/// More of a crowd than this at one address, in percent, is a proxy.
const LOPSIDED_PERCENT: usize = 80;
/// The same is not said again before.
const HOUR: Duration = Duration::from_secs(3_600);

/// Looks for all of it for as long as the node runs.
pub(crate) async fn watch(shared: &Shared) {
    tokio::join!(watch_for_foreign_epochs(shared), watch_for_proxies(shared));
}

/// Looks once a minute whether many clients come with positions of another node.
async fn watch_for_foreign_epochs(shared: &Shared) {
    let mut minute = interval(Duration::from_secs(60));
    minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
    minute.tick().await;
    let (mut known, mut minutes) = (0, 0);
    loop {
        minute.tick().await;
        minutes += 1;
        let counts = local_on_all(shared, |local| {
            local.inspect(|shard| shard.usage().foreign_epochs)
        })
        .await;
        let total = counts.into_iter().sum::<u64>();
        if is_suspicious(minutes, total - known) {
            tracing::warn!(
                cursors = total - known,
                "several nodes without a backplane? Clients bring positions of another epoch"
            );
        }
        known = total;
    }
}

fn is_suspicious(minutes: u32, in_the_last: u64) -> bool {
    minutes > GRACE_MINUTES && in_the_last >= SUSPICIOUS
}

/// Looks whether a proxy stands in front that is not trusted, or one that is does not say for whom
/// it asks.
async fn watch_for_proxies(shared: &Shared) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut lopsided, mut silent) = (Hourly::default(), Hourly::default());
    let mut malformed = 0;
    loop {
        look.tick().await;
        let seen = local_on_all(shared, |local| {
            let (count, sample) = local.with(|shard, _| shard.sockets().sample(SAMPLE));
            (count, sample, local.malformed_forwarded())
        })
        .await;
        let connections = seen.iter().map(|(count, ..)| count).sum();
        let total = seen.iter().map(|(.., malformed)| malformed).sum::<u64>();
        let sample: Vec<IpAddr> = seen.into_iter().flat_map(|(_, sample, _)| sample).collect();
        if !shared.config.dev
            && let Some((address, percent)) = lopsided_to(connections, &sample)
            && lopsided.is_due(Instant::now())
        {
            let advice = if shared.proxies.trusts(address) {
                "its clients are unknown: have it send X-Forwarded-For".to_owned()
            } else {
                format!(
                    "if it is a proxy, add --trusted-proxy {address} and have it send \
                     X-Forwarded-For, so that limits and listings know its clients"
                )
            };
            tracing::warn!(
                %address, percent, connections,
                "most connections come from one address; {advice}"
            );
        }
        if total > malformed && silent.is_due(Instant::now()) {
            tracing::warn!(
                requests = total - malformed,
                "a proxy in trusted_proxy does not name its client: its X-Forwarded-For or \
                 Forwarded header has no address at its end"
            );
        }
        malformed = total;
    }
}

/// The address that has nearly all connections, and its share in percent.
fn lopsided_to(connections: usize, sample: &[IpAddr]) -> Option<(IpAddr, usize)> {
    if connections < CROWD {
        return None;
    }
    let mut counts = HashMap::new();
    for address in sample {
        *counts.entry(*address).or_insert(0_usize) += 1;
    }
    let (address, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    let percent = count * 100 / sample.len();
    (percent > LOPSIDED_PERCENT).then_some((address, percent))
}

/// What is said at most once an hour.
#[derive(Debug, Default)]
struct Hourly(Option<Instant>);

impl Hourly {
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.0.is_none_or(|last| now - last >= HOUR);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_no_reason_to_warn_and_a_foreign_node_is() {
        assert!(!is_suspicious(1, 10_000));
        assert!(!is_suspicious(6, 9));
        assert!(is_suspicious(6, 10));
    }

    #[test]
    fn nearly_all_of_a_crowd_at_one_address_is_a_proxy() {
        let of = |many: usize, others: u8| -> Vec<IpAddr> {
            let proxy = IpAddr::from([10, 0, 0, 1]);
            let rest = (0..others).map(|n| IpAddr::from([203, 0, 113, n]));
            std::iter::repeat_n(proxy, many).chain(rest).collect()
        };
        let proxy = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(lopsided_to(100, &of(81, 19)), Some((proxy, 81)));
        assert_eq!(lopsided_to(5_000, &of(256, 0)), Some((proxy, 100)));
        assert_eq!(lopsided_to(100, &of(80, 20)), None);
        assert_eq!(lopsided_to(99, &of(99, 0)), None);
        assert_eq!(lopsided_to(100, &[]), None);
    }

    #[test]
    fn the_same_is_said_once_an_hour() {
        let (mut hourly, start) = (Hourly::default(), Instant::now());
        assert!(hourly.is_due(start));
        assert!(!hourly.is_due(start + HOUR / 2));
        assert!(hourly.is_due(start + HOUR));
    }
}
