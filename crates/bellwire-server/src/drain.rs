//! Leaving without loss (design D11): not ready, then away at a steady rate, then gone.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until},
};

use crate::shard::{Shared, local_on_all};

/// How often connections are moved away within the window.
const STEP: Duration = Duration::from_millis(100);

/// How far a node has come with leaving; seen by every shard.
#[derive(Debug, Default)]
pub(crate) struct DrainState {
    stage: AtomicU8,
    stopped: Notify,
}

const RUNNING: u8 = 0;
const LEAVING: u8 = 1;
const STOPPED_LISTENING: u8 = 2;

impl DrainState {
    /// Whether new streams are sent away at once.
    pub(crate) fn is_draining(&self) -> bool {
        self.stage.load(Ordering::Relaxed) != RUNNING
    }

    /// Completes when the listeners are to be closed.
    pub(crate) async fn stopped_listening(&self) {
        let notified = self.stopped.notified();
        if self.stage.load(Ordering::Acquire) != STOPPED_LISTENING {
            notified.await;
        }
    }

    fn advance(&self, stage: u8) {
        self.stage.store(stage, Ordering::Release);
        if stage == STOPPED_LISTENING {
            self.stopped.notify_waiters();
        }
    }
}

/// Drains the node. Ends early when `hurry` turns true.
pub(crate) async fn drain(shared: &Shared, mut hurry: watch::Receiver<bool>) {
    tokio::select! {
        () = leave(shared) => {}
        _ = hurry.wait_for(|hurry| *hurry) => tracing::info!("ending now"),
    }
}

async fn leave(shared: &Shared) {
    let drain = shared.config.drain;
    tracing::info!(
        delay_ms = u64::try_from(drain.delay.as_millis()).unwrap_or(u64::MAX),
        window_ms = u64::try_from(drain.window.as_millis()).unwrap_or(u64::MAX),
        connections = shared.census.connections(),
        "draining"
    );
    shared.drain.advance(LEAVING);
    // The delay is for load balancers to notice; nobody balances a development server.
    if !shared.config.dev {
        sleep(drain.delay).await;
    }
    shared.drain.advance(STOPPED_LISTENING);
    local_on_all(shared, |local| {
        local.with(|shard, _| shard.sockets().close_parked());
    })
    .await;
    let steps =
        u32::try_from((drain.window.as_millis() / STEP.as_millis()).max(1)).unwrap_or(u32::MAX);
    let start = Instant::now();
    for step in 0..steps {
        sleep_until(start + STEP * step).await;
        let left_steps = steps as usize - step as usize;
        let left = local_on_all(shared, move |local| {
            // What is left is spread over the steps that are left, so the rate is steady
            // whoever leaves by himself.
            local.with(|shard, now| {
                let left = shard.remaining();
                shard.drain(left.div_ceil(left_steps), now);
                shard.remaining()
            })
        });
        if left.await.iter().sum::<usize>() == 0 {
            break;
        }
    }
    // Peers that do not answer a close frame are not waited for longer than its time, nor are those
    // who send the rest of a request.
    let patience = Instant::now() + Duration::from_millis(shared.settings.close_timeout_ms);
    while Instant::now() < patience {
        let left = local_on_all(shared, |local| {
            local.answering() + local.inspect(|shard| shard.connection_count())
        });
        if left.await.iter().sum::<usize>() == 0 {
            break;
        }
        sleep(STEP).await;
    }
}
