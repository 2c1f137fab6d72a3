//! The event loop of a shard: turns for as long as there is work, then waiting for the inbox, the
//! sockets, the calls of request handlers, or the tick.
//!
//! Between two turns everything else on the thread gets its chance (accepting, parsing, timers),
//! so a broadcast does not hold a publish back.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    rc::Rc,
    time::Duration,
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    task::yield_now,
    time::{Instant, sleep_until},
};

use super::local::Local;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(100);

/// The epoll, so that the runtime can wait for it.
struct Descriptor(Rc<OwnedFd>);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Runs until the thread ends.
///
/// # Errors
/// The kernel refuses to poll.
pub(super) async fn drive(local: Rc<Local>) -> io::Result<()> {
    let descriptor = local.with(|shard, _| shard.sockets().descriptor());
    #[expect(
        deprecated,
        reason = "safe here: the descriptor is open for as long as its Rc lives"
    )]
    let epoll = AsyncFd::with_interest(Descriptor(descriptor), Interest::READABLE)?;
    let mut next_tick = Instant::now() + TICK;
    loop {
        while local.turn()? {
            yield_now().await;
        }
        let now = Instant::now();
        if next_tick <= now {
            next_tick = now + TICK;
        }
        let wake_at = local
            .with(|shard, now| shard.next_delayed().map(|due| due - now.mono.min(due)))
            .map_or(next_tick, |delay| {
                next_tick.min(now + Duration::from_millis(delay))
            });
        tokio::select! {
            biased;
            ready = epoll.readable() => ready?.clear_ready(),
            () = local.woken() => {}
            () = local.inbox().arrival() => {}
            () = sleep_until(wake_at) => {}
        }
    }
}
