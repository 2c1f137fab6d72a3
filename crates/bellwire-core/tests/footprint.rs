//! What an idle channel costs, measured at the allocator; alone in its binary for that.
#![allow(unsafe_code, reason = "a counting allocator can't be written without")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bellwire_core::{
    channel::Channel,
    engine::{Backplane, Draft, Outbox, Request, Token},
    memory::{MemoryConfig, MemoryEngine},
    namespace::Namespaces,
    position::Epoch,
    publication::Payload,
    time::Now,
};

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_channel_with_one_message_costs_at_most_400_bytes_beyond_payload_and_name() {
    const CHANNELS: usize = 100_000;
    let mut engine = MemoryEngine::new(MemoryConfig {
        shard: 0,
        shards: 1,
        epoch: Epoch(1),
        seed: 7,
        namespaces: Arc::new(Namespaces::default()),
        max_channels: 1_000_000,
        max_history_bytes: 1 << 30,
        max_idempotency_keys: 100_000,
        max_waiting_bytes: 1 << 20,
    });
    let payload = "1".repeat(128);
    let before = LIVE_BYTES.load(Relaxed);
    let mut names = 0;
    for n in 0..CHANNELS {
        let name = format!("room:{n}");
        names += name.len();
        let channel = Channel::parse(&name).unwrap();
        let payload = Payload::json(&payload);
        let draft = Draft {
            channel,
            event: None,
            user: None,
            payload,
            idempotency: None,
        };
        let request = Request::Publish(Box::new(draft));
        engine.submit(Token(0), request, Now::default(), &mut Outbox::new());
    }
    assert_eq!(engine.usage().channels, CHANNELS);
    let used = LIVE_BYTES.load(Relaxed) - before - names - CHANNELS * payload.len();
    let each = used / CHANNELS;
    assert!(each <= 400, "{each} bytes each");
}
