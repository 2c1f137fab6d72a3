//! Leaving without loss (design D11): not ready, then away at a steady rate, then gone.

use std::{
    future::Future,
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
    spread(drain.window, |steps| async move {
        let left = local_on_all(shared, move |local| {
            local.with(|shard, now| {
                let left = shard.remaining();
                shard.drain(left.div_ceil(steps), now);
                shard.remaining()
            })
        });
        left.await.iter().sum::<usize>()
    })
    .await;
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

/// Runs a step every [`STEP`] for as long as the window lasts, once at least. Each is told how many
/// there will be, itself included, and says how many connections are left: the last one ends it.
///
/// The steps that are left follow from the time that is left. So the rate is steady whoever leaves by
/// himself, and a busy node does not make up at once for what it has missed.
async fn spread<F: Future<Output = usize>>(window: Duration, mut step: impl FnMut(usize) -> F) {
    let end = Instant::now() + window;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let steps = left.as_millis().div_ceil(STEP.as_millis()).max(1);
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        if step(steps as usize).await == 0 || steps == 1 {
            return;
        }
        sleep_until(end - STEP * (steps - 1)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_n;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(4);

    /// When each of two thousand leaves, where the first step after a second takes so long.
    async fn departures(busy: Duration) -> Vec<Duration> {
        let (start, mut left) = (Instant::now(), 2_000);
        let mut busy = Some(busy);
        let mut departures = Vec::new();
        spread(WINDOW, |steps| {
            let leaving = usize::div_ceil(left, steps);
            left -= leaving;
            departures.extend(repeat_n(start.elapsed(), leaving));
            let is_late = start.elapsed() >= Duration::from_secs(1);
            let took = busy.take_if(|_| is_late).unwrap_or_default();
            async move {
                sleep(took).await;
                left
            }
        })
        .await;
        departures
    }

    /// How many leave in each of the window's seconds.
    fn by_second(departures: &[Duration]) -> [usize; 4] {
        [0, 1, 2, 3].map(|second| {
            let within = departures.iter().filter(|at| at.as_secs() == second);
            within.count()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_leaves_at_a_steady_rate_within_the_window() {
        let departures = departures(Duration::ZERO).await;
        assert_eq!(by_second(&departures), [500; 4]);
        for together in departures.chunks(50) {
            assert_eq!(together.first(), together.last(), "fifty at a time");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_busy_node_has_missed_is_spread_over_the_time_that_is_left() {
        let departures = departures(Duration::from_secs(2)).await;
        assert_eq!(by_second(&departures), [500, 50, 0, 1_450]);
        for together in departures[550..].chunks(145) {
            assert_eq!(together.first(), together.last(), "a tenth at a time");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_window_all_leave_at_once() {
        let mut steps = Vec::new();
        spread(Duration::ZERO, |left| {
            steps.push(left);
            async { 7 }
        })
        .await;
        assert_eq!(steps, [1]);
    }
}
