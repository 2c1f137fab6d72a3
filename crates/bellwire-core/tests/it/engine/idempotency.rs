//! D3: repeating a publish with its key.

use bellwire_core::memory::IDEMPOTENCY_WINDOW_MS;

use super::*;

#[test]
fn d3_the_same_key_returns_the_first_position_and_announces_nothing() {
    let mut node = Settings::default().node();
    let a = sibling("a", 0);
    node.attach(0, &a, Start::Latest);
    let first = node.try_publish(0, keyed(&a, "1", "key:x", "k")).unwrap();
    node.publish(&a, "2");
    let again = node.try_publish(0, keyed(&a, "1", "key:x", "k")).unwrap();
    assert_eq!((first.duplicate, again.duplicate), (false, true));
    assert_eq!(again.position, first.position);
    assert_eq!(node.announced(0).len(), 2);
}

#[test]
fn d3_the_same_key_with_other_bytes_is_refused() {
    let mut node = Settings::default().node();
    let a = sibling("a", 0);
    node.try_publish(0, keyed(&a, "1", "key:x", "k")).unwrap();
    let binary = Payload::Binary(b"1".as_slice().into());
    for other in [
        keyed(&a, "2", "key:x", "k"),
        with_event(keyed(&a, "1", "key:x", "k"), "e"),
        Draft {
            payload: binary,
            ..keyed(&a, "1", "key:x", "k")
        },
    ] {
        let refused = node.try_publish(0, other);
        assert_eq!(refused, Err(PublishError::IdempotencyMismatch));
    }
    assert_eq!(node.publish(&a, "3"), 2);
}

#[test]
fn d3_a_key_belongs_to_its_channel_and_publisher() {
    let mut node = Settings::default().node();
    let (a, b) = (sibling("a", 0), sibling("a", 1));
    for draft in [
        keyed(&a, "1", "key:x", "k"),
        keyed(&b, "1", "key:x", "k"),
        keyed(&a, "1", "key:", "xk"),
        keyed(&a, "1", "user:x", "k"),
    ] {
        assert!(!node.try_publish(0, draft).unwrap().duplicate);
    }
}

#[test]
fn d3_a_key_is_remembered_for_five_minutes_from_its_first_use() {
    let mut node = Settings::default().node();
    let a = sibling("a", 0);
    let publish = |node: &mut Node| node.try_publish(0, keyed(&a, "1", "key:x", "k")).unwrap();
    publish(&mut node);
    node.advance(IDEMPOTENCY_WINDOW_MS - 1);
    assert!(publish(&mut node).duplicate);
    node.advance(1);
    assert!(!publish(&mut node).duplicate);
}

#[test]
fn d3_a_keyed_publish_without_room_for_its_key_is_refused_before_the_append() {
    let mut node = Settings {
        max_idempotency_keys: 2,
        ..Settings::default()
    }
    .node();
    let a = sibling("a", 0);
    for key in ["1", "2"] {
        node.try_publish(0, keyed(&a, "1", "key:x", key)).unwrap();
        node.advance(10);
    }
    let refused = node.try_publish(0, keyed(&a, "1", "key:x", "3"));
    assert_eq!(refused, Err(PublishError::IdempotencyFull));
    assert!(
        node.try_publish(0, keyed(&a, "1", "key:x", "1"))
            .unwrap()
            .duplicate
    );
    assert_eq!(node.publish(&a, "1"), 3);
    node.advance(IDEMPOTENCY_WINDOW_MS - 20);
    assert!(
        !node
            .try_publish(0, keyed(&a, "1", "key:x", "3"))
            .unwrap()
            .duplicate
    );
    assert!(
        node.try_publish(0, keyed(&a, "1", "key:x", "2"))
            .unwrap()
            .duplicate
    );
}

#[test]
fn ticks_forget_keys_whose_window_is_over() {
    let mut node = Settings::default().node();
    node.try_publish(0, keyed(&channel("a"), "1", "key:x", "k"))
        .unwrap();
    assert_eq!(node.engines[0].usage().idempotency_keys, 1);
    node.advance(IDEMPOTENCY_WINDOW_MS);
    node.tick();
    assert_eq!(node.engines[0].usage().idempotency_keys, 0);
}
