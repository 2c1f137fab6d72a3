//! What became of publications that were submitted together.
//!
//! Most are answered while they are submitted, those of another shard's partitions later. Used by
//! [`super::Local::publish`]; knows neither shards nor HTTP.

use std::{
    cell::{Cell, RefCell},
    mem,
    rc::Rc,
};

use bellwire_core::engine::{PublishError, Published, Reply};
use tokio::sync::oneshot;

/// The engine's word on one publication.
pub(crate) type Outcome = Result<Published, PublishError>;

/// Shared by whoever still has something to tell; complete when nobody is left.
pub(super) struct Outcomes {
    told: RefCell<Vec<Outcome>>,
    /// Who waits.
    done: Cell<Option<oneshot::Sender<Vec<Outcome>>>>,
}

impl Outcomes {
    /// A shard that ends takes its answers with it: whether it appended is unknown then.
    pub(super) fn of(count: usize) -> Rc<Self> {
        Rc::new(Self {
            told: RefCell::new(vec![Err(PublishError::Unavailable); count]),
            done: Cell::default(),
        })
    }

    pub(super) fn tell(&self, nth: usize, reply: &Reply) {
        if let Reply::Published(outcome) = reply {
            self.told.borrow_mut()[nth] = *outcome;
        }
    }

    /// Waits until nobody else has something to tell.
    pub(super) async fn all(outcomes: Rc<Self>) -> Vec<Outcome> {
        if Rc::strong_count(&outcomes) == 1 {
            return outcomes.told.take();
        }
        let (done, complete) = oneshot::channel();
        outcomes.done.set(Some(done));
        drop(outcomes);
        complete.await.expect("they are sent when they are dropped")
    }
}

impl Drop for Outcomes {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            // Nobody waits any more where the publisher has gone.
            done.send(mem::take(self.told.get_mut())).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_nobody_told_is_unavailable_once_all_have_gone() {
        let outcomes = Outcomes::of(2);
        let (first, second) = (Rc::clone(&outcomes), Rc::clone(&outcomes));
        let error = PublishError::IdempotencyFull;
        first.tell(0, &Reply::Published(Err(error)));
        drop(first);
        let (all, ()) = tokio::join!(Outcomes::all(outcomes), async { drop(second) });
        assert_eq!(all, [Err(error), Err(PublishError::Unavailable)]);
    }
}
