//! Waiting for a condition with a deadline, which tests use in place of sleeping. Knows nothing of
//! what is waited for.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long tests wait for what should happen soon, on a machine that is busy.
pub const SOON: Duration = Duration::from_secs(20);

/// How often a condition without a signal of its own is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Looks until `condition` gives a value.
///
/// # Panics
/// When it has given none within `limit`; `what` says what was waited for.
pub fn within<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        thread::sleep(LOOK);
    }
}

/// Looks until `condition` holds, for at most [`SOON`].
///
/// # Panics
/// When it does not hold in time; `what` says what was waited for.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    within(SOON, what, || condition().then_some(()));
}
