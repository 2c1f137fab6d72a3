//! D1 and D2: the order in which shards hear of things.

use bellwire_core::engine::Durability;

use super::*;

#[test]
fn d2_a_publish_reply_states_position_and_durability() {
    let mut node = Settings::default().node();
    let a = sibling("a", 0);
    let published = node.try_publish(0, draft(&a, "1")).unwrap();
    assert_eq!(
        published.position,
        Position {
            epoch: EPOCH.tag(&a),
            offset: 1
        }
    );
    assert_eq!(
        (published.durability, published.duplicate),
        (Durability::Memory, false)
    );
}

#[test]
fn a_publish_reply_precedes_its_own_echo() {
    for shard in 0..3 {
        let mut node = Settings {
            shards: 3,
            ..Settings::default()
        }
        .node();
        let a = sibling("a", 0);
        node.attach(shard, &a, Start::Latest);
        node.try_publish(shard, draft(&a, "1")).unwrap();
        let arrivals = &node.arrivals[shard];
        assert!(matches!(
            arrivals[1],
            Arrival::Reply(_, Reply::Published(Ok(_)))
        ));
        assert!(matches!(arrivals[2], Arrival::Announce(_)));
    }
}

#[test]
fn an_attach_reply_precedes_every_later_announcement() {
    for shard in 0..3 {
        let mut node = Settings {
            shards: 3,
            ..Settings::default()
        }
        .node();
        let a = sibling("a", 0);
        node.publish(&a, "1");
        let head = node.attach(shard, &a, Start::Latest).head;
        node.publish(&a, "2");
        let announced = node.announced(shard);
        assert_eq!(announced.len(), 1);
        assert_eq!((head, announced[0].prev, announced[0].offset), (1, 1, 2));
    }
}

#[test]
fn every_interested_shard_hears_of_a_publication_once_lowest_first() {
    let mut node = Settings {
        shards: 4,
        ..Settings::default()
    }
    .node();
    let a = sibling("a", 0);
    for shard in [2, 0, 3, 2] {
        node.attach(shard, &a, Start::Latest);
    }
    let mut outbox = Outbox::new();
    let request = Request::Publish(Box::new(draft(&a, "1")));
    node.engines[0].submit(Token(99), request, node.now, &mut outbox);
    let shards: Vec<_> = outbox.iter().map(|(shard, _)| *shard).collect();
    assert_eq!(shards, [0, 0, 2, 3]);
    node.detach(2, &a);
    node.publish(&a, "2");
    assert_eq!((node.announced(2).len(), node.announced(3).len()), (0, 1));
}

#[test]
fn d1_offsets_increase_over_all_channels_of_a_partition() {
    let mut node = Settings {
        shards: 2,
        ..Settings::default()
    }
    .node();
    let [a, b] = [0, 1].map(|n| sibling("a", n));
    let offsets = [&a, &b, &a, &b].map(|channel| node.publish(channel, "0"));
    assert_eq!(offsets, [1, 2, 3, 4]);
    let page = node.read(&b, 0, 100);
    let chain: Vec<_> = page
        .publications
        .iter()
        .map(|p| (p.prev, p.position.offset))
        .collect();
    assert_eq!(chain, [(0, 2), (2, 4)]);
}

#[test]
fn a_handle_beyond_the_shards_asks_without_owning_anything() {
    let namespaces = Arc::new(Namespaces::default());
    let config = |shard| MemoryConfig {
        shard,
        shards: 1,
        epoch: EPOCH,
        seed: 7,
        namespaces: Arc::clone(&namespaces),
        max_channels: 64,
        max_history_bytes: 64 << 10,
        max_idempotency_keys: 64,
        max_waiting_bytes: 64 << 10,
    };
    let (mut owner, mut admin) = (MemoryEngine::new(config(0)), MemoryEngine::new(config(1)));
    let (now, mut outbox) = (Now::default(), Outbox::new());
    let request = Request::Publish(Box::new(draft(&channel("a"), "1")));
    admin.submit(Token(1), request, now, &mut outbox);
    let Some((0, message)) = outbox.pop() else {
        panic!("not to the owner")
    };
    owner.receive(message, now, &mut outbox);
    assert!(matches!(
        outbox[..],
        [(
            1,
            Message::Reply {
                token: Token(1),
                ..
            }
        )]
    ));
    assert_eq!((admin.usage().channels, owner.usage().channels), (0, 1));
}
