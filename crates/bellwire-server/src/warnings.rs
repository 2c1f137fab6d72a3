//! What an operator should be told without asking.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::shard::{Shared, local_on_all};

/// How many cursors of another epoch in a minute are suspicious.
const SUSPICIOUS: u64 = 10;
/// After a restart every client brings one; that is no reason to worry.
const GRACE_MINUTES: u32 = 5;

/// Looks once a minute whether many clients come with positions of another node.
pub(crate) async fn watch_for_foreign_epochs(shared: &Shared) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_no_reason_to_warn_and_a_foreign_node_is() {
        assert!(!is_suspicious(1, 10_000));
        assert!(!is_suspicious(6, 9));
        assert!(is_suspicious(6, 10));
    }
}
