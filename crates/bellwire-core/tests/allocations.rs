//! What delivering and idling cost at the allocator; alone in its binary for that.
#![allow(unsafe_code, reason = "a counting allocator can't be written without")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::IoSlice,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bellwire_core::{
    access::{Access, Authenticator, Grant, Refusal},
    channel::Channel,
    cursor::Cursor,
    engine::Draft,
    format::{Format, SseFormat},
    memory::{MemoryConfig, MemoryEngine},
    namespace::Namespaces,
    position::Epoch,
    publication::Payload,
    shard::{
        ConnectionId, Departure, Open, Release, Sent, Settings, Shard, SocketKey, Sockets,
        Transport,
    },
    time::Now,
};

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
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

/// Sockets that take everything.
#[derive(Default)]
struct Sinks {
    bytes: usize,
}

impl Sockets for Sinks {
    fn send(&mut self, _socket: SocketKey, slices: &[IoSlice<'_>]) -> Sent {
        let offered = slices.iter().map(|slice| slice.len()).sum();
        self.bytes += offered;
        Sent::Bytes(offered)
    }

    fn resume_reading(&mut self, _socket: SocketKey) {}

    fn release(&mut self, _socket: SocketKey, _release: Release, _departure: &Departure) {}
}

struct Nobody;

impl Authenticator for Nobody {
    fn token(&self, _text: &str, _now: Now) -> Result<Arc<Access>, Refusal> {
        unreachable!("no client sends a token")
    }

    fn grant(&self, _text: &str, _access: &Access, _now: Now) -> Result<Grant, Refusal> {
        unreachable!("no client sends a grant")
    }
}

const NOW: Now = Now {
    mono: 1_000,
    wall: 1_790_000_000_000,
};

fn shard() -> Shard<Sinks> {
    let engine = MemoryEngine::new(MemoryConfig {
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
    let (engine, nobody) = (Box::new(engine), Box::new(Nobody));
    Shard::new(
        0,
        Settings::default(),
        Sinks::default(),
        engine,
        nobody,
        3,
        NOW,
    )
}

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
    };
    shard.open(open, NOW);
}

fn flush(shard: &mut Shard<Sinks>) {
    while shard.flush_step(NOW) {}
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
    let before = ALLOCATIONS.load(Relaxed);
    publish(PUBLICATIONS);
    let used = ALLOCATIONS.load(Relaxed) - before;
    assert!(shard.sockets().bytes > 0);
    assert_eq!(shard.stats().deliveries[0], u64::from(pairs) * 576);
    used.div_ceil(PUBLICATIONS)
}

/// Bytes of one idle connection with a channel of its own.
fn per_idle_connection() -> usize {
    const CONNECTIONS: u32 = 16_384;
    let mut shard = shard();
    let access = Arc::new(Access::dev());
    let before = LIVE_BYTES.load(Relaxed);
    for socket in 0..CONNECTIONS {
        open(&mut shard, socket, &format!("room:{socket}"), &access);
        flush(&mut shard);
    }
    (LIVE_BYTES.load(Relaxed) - before) / CONNECTIONS as usize
}

/// One test, since the counters belong to the whole process.
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
        idle <= 600,
        "{idle} bytes per idle connection with its channel"
    );
}
