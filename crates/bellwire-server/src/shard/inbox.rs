//! A shard's inbox: the one place where shards, and the runtime beside them, meet.
//!
//! Bounded in bytes: above the bound an announcement shrinks to "channel, head" and the shard
//! reads the log. Order is kept per sender. The lock is held to push one entry or to take all.

use std::{
    collections::VecDeque,
    fmt, mem,
    rc::Rc,
    sync::{Mutex, PoisonError},
};

use bellwire_core::engine::Message;
use tokio::sync::Notify;

use super::local::Local;

/// Something to do on a shard's thread.
pub(crate) type Call = Box<dyn FnOnce(&Rc<Local>) + Send>;

/// An entry of the inbox.
pub(crate) enum Post {
    /// For the shard.
    Message(Message),
    /// For the thread.
    Call(Call),
}

/// See the module.
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    arrived: Notify,
    max_bytes: usize,
}

#[derive(Default)]
struct Queue {
    posts: VecDeque<Post>,
    /// What the announcements in it weigh.
    bytes: usize,
}

impl Inbox {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            queue: Mutex::default(),
            arrived: Notify::new(),
            max_bytes,
        }
    }

    pub(crate) fn post(&self, mut post: Post) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Post::Message(Message::Announce(announcement)) = &mut post {
            if queue.bytes + announcement.weight() > self.max_bytes {
                announcement.shrink();
            }
            queue.bytes += announcement.weight();
        }
        queue.posts.push_back(post);
        drop(queue);
        self.arrived.notify_one();
    }

    /// Everything that has arrived.
    pub(crate) fn take(&self) -> VecDeque<Post> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.bytes = 0;
        mem::take(&mut queue.posts)
    }

    /// Completes when something may have arrived.
    pub(crate) async fn arrival(&self) {
        self.arrived.notified().await;
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}
