//! What delivering and idling cost at the allocator; alone in its binary for that.
#![allow(unsafe_code, reason = "a counting allocator can't be written without")]

mod sinks;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
};

use bellwire_core::{
    access::Access,
    channel::Channel,
    cursor::Cursor,
    engine::Draft,
    format::{Format, SseFormat},
    publication::Payload,
    shard::{ConnectionId, Open, Shard, SocketKey, Transport},
};

use self::sinks::{NOW, Sinks, flush, shard};

thread_local! {
    /// Of each thread by itself, since the test harness allocates beside the test.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        LIVE_BYTES.set(LIVE_BYTES.get().wrapping_add(layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // What another thread has allocated may come here to its end.
        LIVE_BYTES.set(LIVE_BYTES.get().wrapping_sub(layout.size()));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn open(shard: &mut Shard<Sinks>, socket: SocketKey, channel: &str, access: &Arc<Access>) {
    let (transport, format) = if socket.is_multiple_of(2) {
        (Transport::WebSocket, Format::WebSocket)
    } else {
        let own_id = SseFormat {
            own_id: true,
            ..SseFormat::default()
        };
        (Transport::Sse, Format::Sse(own_id))
    };
    let open = Open {
        id: ConnectionId(u64::from(socket)),
        socket,
        transport,
        format,
        visible_heartbeats: false,
        names: vec![channel.to_owned()],
        cursor: Cursor::none(),
        access: Arc::clone(access),
        grants: Vec::new(),
        head: Vec::new(),
        poll: None,
        contexts: None,
    };
    shard.open(open, NOW);
}

/// Allocations of one publication to so many WebSockets and as many event streams.
fn per_publication(pairs: u32) -> usize {
    const PUBLICATIONS: usize = 64;
    let mut shard = shard();
    let access = Arc::new(Access::dev());
    for socket in 0..2 * pairs {
        open(&mut shard, socket, "news", &access);
    }
    let channel = Channel::parse("news").expect("a valid name");
    let mut publish = |count: usize| {
        for _ in 0..count {
            let draft = Draft {
                channel: channel.clone(),
                event: None,
                user: None,
                payload: Payload::json("{\"price\":12}"),
                idempotency: None,
            };
            shard.publish(Box::new(draft), NOW, Box::new(|_| {}));
            flush(&mut shard);
        }
    };
    // The log is full, and every buffer has found its size.
    publish(512);
    let before = ALLOCATIONS.get();
    publish(PUBLICATIONS);
    let used = ALLOCATIONS.get() - before;
    assert!(shard.sockets().bytes > 0);
    assert_eq!(shard.stats().deliveries[0], u64::from(pairs) * 576);
    used.div_ceil(PUBLICATIONS)
}

/// Bytes of one idle connection with a channel of its own.
fn per_idle_connection() -> usize {
    const CONNECTIONS: u32 = 16_384;
    let mut shard = shard();
    let access = Arc::new(Access::dev());
    let before = LIVE_BYTES.get();
    for socket in 0..CONNECTIONS {
        open(&mut shard, socket, &format!("room:{socket}"), &access);
        flush(&mut shard);
    }
    LIVE_BYTES.get().wrapping_sub(before) / CONNECTIONS as usize
}

#[test]
fn delivering_allocates_nothing_per_connection_and_idling_little() {
    let (few, many) = (per_publication(100), per_publication(1_000));
    assert_eq!(
        few, many,
        "allocations of a publication to 200 and to 2,000"
    );
    assert!(few < 30, "{few} allocations per publication");
    let idle = per_idle_connection();
    assert!(
        idle <= 320,
        "{idle} bytes per idle connection with its channel"
    );
}
