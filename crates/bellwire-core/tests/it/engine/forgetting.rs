//! Age, eviction, tombstones and floors: a loss is always said.

use super::*;

const RETENTION: GapReason = GapReason::Retention;

fn aging(age_ms: u64) -> Settings {
    let retention = Retention {
        age_ms,
        ..Retention::default()
    };
    Settings {
        rules: vec![("*", retention)],
        ..Settings::default()
    }
}

#[test]
fn what_reaches_the_age_is_gone_on_the_next_use() {
    let mut node = aging(1_000).node();
    let a = sibling("a", 0);
    node.publish(&a, "1");
    node.advance(600);
    node.publish(&a, "2");
    node.advance(400);
    assert_eq!(
        node.attach(0, &a, after(&a, 0)).gap,
        gap(RETENTION, Some(0), Some(2), 1)
    );
    assert_eq!(node.attach(0, &a, after(&a, 1)).gap, None);
    node.advance(600);
    assert_eq!(
        node.attach(0, &a, after(&a, 1)).gap,
        gap(RETENTION, Some(1), None, 2)
    );
    assert_eq!(node.attach(0, &a, after(&a, 2)).gap, None);
}

#[test]
fn ticks_drop_a_log_that_nobody_uses() {
    let mut node = aging(1_000).node();
    let a = sibling("a", 0);
    node.publish(&a, "1");
    node.advance(999);
    node.tick();
    assert_eq!(node.engines[0].usage().channels, 1);
    node.advance(1);
    node.tick();
    let usage = node.engines[0].usage();
    assert_eq!(
        (usage.channels, usage.tombstones, usage.history_bytes),
        (0, 1, 0)
    );
    node.publish(&a, "2");
    assert_eq!(node.engines[0].usage().tombstones, 0);
}

#[test]
fn a_wall_clock_that_goes_back_drops_nothing() {
    let mut node = aging(1_000).node();
    let a = sibling("a", 0);
    node.publish(&a, "1");
    node.now.wall -= 100_000;
    node.publish(&a, "2");
    assert_eq!(offsets(&node.read(&a, 0, 100).publications), [1, 2]);
}

#[test]
fn d6_an_evicted_channel_says_a_gap_before_and_after_it_begins_anew() {
    let mut node = Settings {
        max_channels: 1,
        ..Settings::default()
    }
    .node();
    let (a, b) = (sibling("a", 0), sibling("a", 1));
    node.publish(&a, "1");
    node.publish(&a, "2");
    node.publish(&b, "3");
    assert_eq!(
        node.attach(0, &a, after(&a, 1)).gap,
        gap(RETENTION, Some(1), None, 2)
    );
    assert_eq!(node.attach(0, &a, after(&a, 2)).gap, None);
    node.publish(&a, "4");
    assert_eq!(
        node.attach(0, &a, after(&a, 1)).gap,
        gap(RETENTION, Some(1), Some(4), 2)
    );
    let whole = node.attach(0, &a, after(&a, 2));
    assert_eq!((whole.gap, whole.start, whole.head), (None, 2, 4));
    assert_eq!(node.read(&a, 2, 100).publications[0].prev, 2);
}

#[test]
fn d7_a_reader_of_an_evicted_channel_sees_how_far_it_was_trimmed() {
    let mut node = Settings {
        max_channels: 1,
        ..Settings::default()
    }
    .node();
    let (a, b) = (sibling("a", 0), sibling("a", 1));
    node.publish(&a, "1");
    node.publish(&a, "2");
    node.publish(&b, "3");
    let page = node.read(&a, 1, 100);
    assert_eq!(
        (page.trimmed, page.oldest, page.start, page.end),
        (2, None, 2, 3)
    );
}

/// Three channels of which two are remembered at most: `a` is pushed out.
fn pushed_out() -> (Node, [Channel; 3]) {
    let mut node = Settings {
        max_channels: 1,
        ..Settings::default()
    }
    .node();
    let [a, b, c] = [0, 1, 2].map(|n| sibling("a", n));
    for channel in [&a, &a, &b, &c] {
        node.publish(channel, "0");
    }
    (node, [a, b, c])
}

#[test]
fn d6_a_tombstone_that_is_pushed_out_still_yields_a_gap() {
    let (mut node, [a, b, _]) = pushed_out();
    assert_eq!(
        node.attach(0, &a, after(&a, 1)).gap,
        gap(RETENTION, Some(1), None, 2)
    );
    assert_eq!(node.engines[0].usage().floor_gaps, 1);
    assert_eq!(
        node.attach(0, &b, after(&b, 2)).gap,
        gap(RETENTION, Some(2), None, 3)
    );
    assert_eq!(node.engines[0].usage().floor_gaps, 1);
    node.publish(&a, "0");
    assert_eq!(
        node.attach(0, &a, after(&a, 1)).gap,
        gap(RETENTION, Some(1), Some(5), 2)
    );
}

#[test]
fn a_shard_that_heard_of_everything_sees_no_hole_from_a_floor() {
    let mut node = Settings {
        max_channels: 1,
        ..Settings::default()
    }
    .node();
    let quiet = sibling("a", 0);
    let head = node.attach(0, &quiet, Start::Latest).head;
    // Enough channels to raise the floor of every bucket.
    let busy = (0_u32..).map(|i| channel(&format!("b{i}")));
    let busy = busy.filter(|c| c.hash() % PARTITIONS as u64 == quiet.hash() % PARTITIONS as u64);
    for channel in busy.take(8_000) {
        node.publish(&channel, "0");
    }
    node.publish(&quiet, "0");
    let publication = node.read(&quiet, 0, 100).publications.remove(0);
    assert!(
        publication.prev > head,
        "the floor of its bucket was raised"
    );
    assert!(node.announced(0)[0].prev <= head);
}
