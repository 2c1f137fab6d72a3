//! A pass over many subscribers, of whom some go while it is under way.

use std::sync::Arc;

use bellwire_core::{
    access::Access,
    channel::Channel,
    cursor::Cursor,
    engine::Draft,
    format::Format,
    publication::Payload,
    shard::{ConnectionId, ConnectionRef, Open, Shard, SocketKey, Transport},
};

use super::sinks::{NOW, Sinks, flush, shard};

/// A WebSocket that listens to `news`, as a start for others.
pub(super) fn client(socket: SocketKey) -> Open {
    Open {
        id: ConnectionId(u64::from(socket)),
        socket,
        transport: Transport::WebSocket,
        format: Format::WebSocket,
        visible_heartbeats: false,
        names: vec!["news".to_owned()],
        cursor: Cursor::none(),
        access: Arc::new(Access::dev()),
        grants: Vec::new(),
        head: Vec::new(),
        poll: None,
        contexts: None,
    }
}

fn open(shard: &mut Shard<Sinks>, socket: SocketKey) -> ConnectionRef {
    shard.open(client(socket), NOW)
}

/// A publication to it.
pub(super) fn draft(json: &str) -> Box<Draft> {
    Box::new(Draft {
        channel: Channel::parse("news").expect("a valid name"),
        event: None,
        user: None,
        payload: Payload::json(json),
        idempotency: None,
    })
}

fn publish(shard: &mut Shard<Sinks>) {
    shard.publish(draft("1"), NOW, Box::new(|_| {}));
}

fn deliveries(shard: &Shard<Sinks>) -> u64 {
    shard.stats().deliveries.iter().sum()
}

#[test]
fn who_stays_is_served_once_when_more_leave_than_a_pass_has_before_it() {
    let mut shard = shard();
    let crowd: Vec<_> = (0..200).map(|socket| open(&mut shard, socket)).collect();
    flush(&mut shard);
    publish(&mut shard);
    while deliveries(&shard) < 128 {
        shard.flush_step(NOW);
    }
    assert_eq!(deliveries(&shard), 128, "the pass is under way");
    for gone in &crowd[..100] {
        shard.hang_up(*gone, NOW);
    }
    flush(&mut shard);
    assert_eq!(deliveries(&shard), 200);
    publish(&mut shard);
    flush(&mut shard);
    assert_eq!(deliveries(&shard), 300);
}
