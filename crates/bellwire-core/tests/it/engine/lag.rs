//! Publishes wait for a lagging shard before their append, and no longer than a second.

use bellwire_core::memory::PUBLISH_WAIT_MS;

use super::*;

const OVERLOADED: PublishError = PublishError::Overloaded {
    retry_after_ms: 1_000,
};

/// Shard 1 is interested and confirms nothing by itself: 16 publications may be outstanding.
fn lagging(settings: Settings) -> (Node, Channel) {
    let mut node = Settings {
        shards: 2,
        ..settings
    }
    .node();
    node.prompt = false;
    let a = sibling("a", 0);
    node.attach(1, &a, Start::Latest);
    (node, a)
}

fn full() -> (Node, Channel) {
    let (mut node, a) = lagging(Settings::keeping(64));
    for _ in 0..16 {
        node.publish(&a, "0");
    }
    (node, a)
}

#[test]
fn a_publish_waits_until_the_lagging_shard_confirms() {
    let (mut node, a) = full();
    let asked: Vec<_> = node
        .announced(1)
        .iter()
        .filter(|a| a.confirm)
        .map(|a| a.offset)
        .collect();
    assert_eq!(asked, [8, 16]);
    let token = node.send(0, draft(&a, "17"));
    assert_eq!(node.published(0, token), None);
    assert_eq!(node.read(&a, 0, 1_000).end, 16);
    node.flushed(1, &a, 7);
    assert_eq!(node.published(0, token), None);
    node.flushed(1, &a, 8);
    assert_eq!(
        node.published(0, token).unwrap().unwrap().position.offset,
        17
    );
    assert_eq!(node.announced(1).len(), 17);
}

#[test]
fn a_publish_that_waited_a_second_is_refused_before_its_append() {
    let (mut node, a) = full();
    let first = node.send(0, draft(&a, "17"));
    node.advance(PUBLISH_WAIT_MS / 2);
    let second = node.send(1, draft(&a, "18"));
    node.advance(PUBLISH_WAIT_MS / 2 - 1);
    node.tick();
    assert_eq!(node.published(0, first), None);
    node.advance(1);
    node.tick();
    assert_eq!(node.published(0, first), Some(Err(OVERLOADED)));
    assert_eq!(node.published(1, second), None);
    node.flushed(1, &a, 16);
    assert_eq!(
        node.published(1, second).unwrap().unwrap().position.offset,
        17
    );
    assert_eq!(node.engines[0].usage().waiting_bytes, 0);
}

#[test]
fn d1_publishes_that_waited_are_appended_in_the_order_of_their_arrival() {
    let (mut node, a) = full();
    let tokens: Vec<_> = (0..20)
        .map(|n| (n % 2, node.send(n % 2, draft(&a, "0"))))
        .collect();
    node.flushed(1, &a, 16);
    for (n, &(shard, token)) in tokens.iter().take(16).enumerate() {
        let published = node.published(shard, token).unwrap().unwrap();
        assert_eq!(published.position.offset, 17 + n as u64);
    }
    assert!(
        tokens[16..]
            .iter()
            .all(|&(shard, token)| node.published(shard, token).is_none())
    );
    // A later one queues behind them, though another channel's goes through.
    let late = node.send(0, draft(&a, "0"));
    assert_eq!(node.published(0, late), None);
    node.publish(&sibling("a", 1), "0");
    node.flushed(1, &a, 32);
    assert!(node.published(0, late).unwrap().is_ok());
}

#[test]
fn a_shard_that_detaches_is_waited_for_no_longer() {
    let (mut node, a) = full();
    let token = node.send(0, draft(&a, "17"));
    node.detach(1, &a);
    assert!(node.published(0, token).unwrap().is_ok());
    assert_eq!(
        (
            node.announced(1).len(),
            node.engines[0].usage().lagging_channels
        ),
        (16, 0)
    );
    node.attach(1, &a, Start::Latest);
    assert_eq!(node.publish(&a, "18"), 18);
}

#[test]
fn a_shard_owes_nothing_for_what_it_was_never_told() {
    let (mut node, a) = full();
    node.attach(0, &a, Start::Latest);
    node.flushed(1, &a, 16);
    for _ in 0..16 {
        node.publish(&a, "0");
    }
    node.flushed(1, &a, 32);
    let token = node.send(0, draft(&a, "0"));
    assert_eq!(node.published(0, token), None);
    node.flushed(0, &a, 32);
    assert!(node.published(0, token).unwrap().is_ok());
}

#[test]
fn bytes_count_as_publications_do() {
    let (mut node, a) = lagging(Settings::default());
    let text = "1".repeat(100 << 10);
    node.publish(&a, &text);
    node.publish(&a, &text);
    let token = node.send(0, draft(&a, &text));
    assert_eq!(node.published(0, token), None);
    node.flushed(1, &a, 2);
    assert!(node.published(0, token).unwrap().is_ok());
}

#[test]
fn a_message_over_the_whole_allowance_passes_where_nothing_is_owed() {
    let (mut node, a) = lagging(Settings::default());
    let text = "1".repeat(400 << 10);
    node.publish(&a, "1");
    node.publish(&a, &text);
    let token = node.send(0, draft(&a, "1"));
    assert_eq!(node.published(0, token), None);
    node.flushed(1, &a, 2);
    assert!(node.published(0, token).unwrap().is_ok());
}

#[test]
fn what_waits_is_bounded_in_bytes() {
    let mut settings = Settings::keeping(64);
    settings.max_waiting_bytes = 3 * (256 + 100);
    let (mut node, a) = lagging(settings);
    for _ in 0..16 {
        node.publish(&a, "0");
    }
    let text = "1".repeat(100);
    let tokens: Vec<_> = (0..4).map(|_| node.send(0, draft(&a, &text))).collect();
    assert!(
        tokens[..3]
            .iter()
            .all(|&token| node.published(0, token).is_none())
    );
    assert_eq!(node.published(0, tokens[3]), Some(Err(OVERLOADED)));
    assert_eq!(node.engines[0].usage().waiting_bytes, 3 * (256 + 100));
}

#[test]
fn d3_keys_are_looked_up_after_the_wait() {
    let (mut node, a) = full();
    let first = node.send(0, keyed(&a, "1", "key:x", "k"));
    let again = node.send(0, keyed(&a, "1", "key:x", "k"));
    node.flushed(1, &a, 16);
    let [first, again] = [first, again].map(|token| node.published(0, token).unwrap().unwrap());
    assert_eq!((first.duplicate, again.duplicate), (false, true));
    assert_eq!(first.position, again.position);
}

#[test]
fn nothing_is_remembered_of_channels_that_are_confirmed_or_quiet() {
    let (mut node, a) = full();
    node.flushed(1, &a, 16);
    assert_eq!(node.engines[0].usage().lagging_channels, 0);
    node.publish(&a, "0");
    assert_eq!(node.engines[0].usage().lagging_channels, 1);
    node.advance(10_000);
    node.tick();
    assert_eq!(node.engines[0].usage().lagging_channels, 0);
}

#[test]
fn whoever_waits_has_asked_for_a_confirm_whatever_the_history() {
    for count in [0, 1, 7, 8, 32, 33, 64, 100] {
        let (mut node, a) = lagging(Settings::keeping(count));
        let mut confirmed = 0;
        for n in 0..100_u64 {
            let text = "1".repeat(usize::try_from(n % 7 * 9_000 + 1).unwrap());
            let token = node.send(0, draft(&a, &text));
            if node.published(0, token).is_none() {
                let announced = node.announced(1);
                let asked = announced
                    .iter()
                    .rfind(|a| a.confirm)
                    .expect("one asks")
                    .offset;
                assert!(asked > confirmed, "history {count}, publication {n}");
                node.flushed(1, &a, asked);
                confirmed = asked;
            }
            assert!(node.published(0, token).unwrap().is_ok());
        }
    }
}
