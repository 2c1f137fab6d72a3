//! Retention by count and bytes, and the total budgets.

use super::*;

#[test]
fn a_channel_keeps_so_many_publications_and_so_many_bytes() {
    let retention = Retention {
        count: 3,
        bytes: 10,
        age_ms: 1_000,
    };
    let settings = Settings {
        rules: vec![("*", retention)],
        ..Settings::default()
    };
    let mut node = settings.node();
    let a = sibling("a", 0);
    for text in ["1", "2", "3", "4"] {
        node.publish(&a, text);
    }
    assert_eq!(offsets(&node.read(&a, 0, 100).publications), [2, 3, 4]);
    node.try_publish(0, with_event(draft(&a, "12345"), "word"))
        .unwrap();
    assert_eq!(offsets(&node.read(&a, 0, 100).publications), [4, 5]);
    node.publish(&a, "12345678901");
    let page = node.read(&a, 0, 100);
    assert_eq!((page.publications.len(), page.trimmed, page.end), (0, 6, 6));
}

#[test]
fn the_channel_with_the_oldest_last_publication_goes_first_subscribed_or_not() {
    let mut node = Settings {
        max_channels: 2,
        ..Settings::default()
    }
    .node();
    let [a, b, c] = [0, 1, 2].map(|n| sibling("a", n));
    node.attach(0, &b, Start::Latest);
    for channel in [&a, &b, &a, &c] {
        node.publish(channel, "0");
    }
    let left: Vec<_> = node.engines[0]
        .list("", None, 9)
        .into_iter()
        .map(|r| r.channel)
        .collect();
    let mut expected = [a, c];
    expected.sort_by(|x, y| x.as_str().cmp(y.as_str()));
    assert_eq!(left, expected);
    assert_eq!(node.engines[0].usage().evictions, 1);
    node.publish(&b, "0");
    assert_eq!(node.announced(0).len(), 2);
}

#[test]
fn history_bytes_in_total_are_bounded_by_evicting_whole_channels() {
    let mut node = Settings {
        max_history_bytes: 1_000,
        ..Settings::default()
    }
    .node();
    let [a, b, c] = [0, 1, 2].map(|n| sibling("a", n));
    let text = "1".repeat(200);
    for channel in [&a, &b, &b, &c] {
        node.publish(channel, &text);
        assert!(node.engines[0].usage().history_bytes <= 1_000);
    }
    assert_eq!(node.engines[0].list("", None, 9).len(), 1);
    assert_eq!(node.engines[0].usage().tombstones, 2);
}

#[test]
fn a_channel_alone_over_the_budget_loses_its_oldest_publications() {
    let mut node = Settings {
        max_history_bytes: 1_000,
        ..Settings::default()
    }
    .node();
    let a = sibling("a", 0);
    for _ in 0..4 {
        node.publish(&a, &"1".repeat(200));
    }
    assert_eq!(offsets(&node.read(&a, 0, 1_000).publications), [3, 4]);
    node.publish(&a, &"1".repeat(1_000));
    assert_eq!(node.read(&a, 0, 1_000).trimmed, 5);
    assert_eq!(node.engines[0].usage().history_bytes, 0);
}

#[test]
fn listings_go_by_name_within_a_prefix() {
    let mut node = Settings::default().node();
    for name in ["b:2", "a:1", "b:1", "c", "b:3", "b"] {
        node.publish(&channel(name), "12");
    }
    let list = |after, limit| -> Vec<String> {
        let records = node.engines[0].list("b:", after, limit);
        records
            .iter()
            .map(|record| record.channel.to_string())
            .collect()
    };
    assert_eq!(list(None, 2), ["b:1", "b:2"]);
    assert_eq!(list(Some("b:2"), 2), ["b:3"]);
    assert_eq!(list(None, 0), Vec::<String>::new());
    let record = &node.engines[0].list("c", None, 1)[0];
    assert_eq!((record.publications, record.bytes), (1, 2));
}
