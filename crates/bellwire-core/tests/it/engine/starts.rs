//! What every start means at attach: the gap rules.

use super::*;

#[test]
fn d6_a_channel_without_a_log_stands_at_the_counter_and_subscribing_keeps_nothing() {
    let mut node = Settings::default().node();
    let (a, b) = (sibling("a", 0), sibling("a", 1));
    node.publish(&a, "1");
    let attached = node.attach(0, &b, Start::Latest);
    assert_eq!(
        (attached.asked, attached.start, attached.head),
        (Some(1), 1, 1)
    );
    assert_eq!((attached.gap, attached.epoch), (None, EPOCH.tag(&b)));
    assert_eq!(node.engines[0].usage().channels, 1);
    node.publish(&a, "2");
    assert_eq!(node.attach(0, &b, after(&b, attached.start)).gap, None);
}

#[test]
fn latest_starts_at_the_head_and_earliest_where_the_log_begins() {
    let mut node = Settings::keeping(2).node();
    let a = sibling("a", 0);
    assert_eq!(node.attach(0, &a, Start::Earliest).start, 0);
    for text in ["1", "2", "3"] {
        node.publish(&a, text);
    }
    assert_eq!(node.attach(0, &a, Start::Latest).start, 3);
    let earliest = node.attach(0, &a, Start::Earliest);
    assert_eq!(
        (earliest.asked, earliest.start, earliest.head),
        (Some(1), 1, 3)
    );
    assert_eq!(earliest.gap, None);
}

#[test]
fn an_unknown_position_is_a_gap_up_to_the_head() {
    let mut node = Settings::default().node();
    let a = sibling("a", 0);
    node.publish(&a, "1");
    for start in [Start::Unknown, after(&a, 2)] {
        let attached = node.attach(0, &a, start);
        assert_eq!(attached.gap, gap(GapReason::PositionUnknown, None, None, 1));
        assert_eq!((attached.asked, attached.start), (None, 1));
    }
}

#[test]
fn d5_a_position_of_another_epoch_continues_with_what_is_retained_and_is_counted() {
    let mut node = Settings::keeping(2).node();
    let (a, b) = (sibling("a", 0), sibling("a", 1));
    for text in ["1", "2", "3"] {
        node.publish(&a, text);
    }
    let foreign = |channel| Position {
        epoch: Epoch(1).tag(channel),
        offset: 3,
    };
    let attached = node.attach(0, &a, Start::After(foreign(&a)));
    assert_eq!(attached.gap, gap(GapReason::EpochChanged, None, Some(2), 1));
    assert_eq!((attached.asked, attached.start), (None, 1));
    let attached = node.attach(0, &b, Start::After(foreign(&b)));
    assert_eq!(attached.gap, gap(GapReason::EpochChanged, None, None, 3));
    assert_eq!(node.engines[0].foreign_epochs(), 2);
}

#[test]
fn d7_a_cursor_has_a_gap_exactly_when_it_is_below_the_first_retained_predecessor() {
    let mut node = Settings::keeping(2).node();
    let (a, b) = (sibling("a", 0), sibling("a", 1));
    for _ in 0..4 {
        node.publish(&a, "0");
        node.publish(&b, "0");
    }
    // `a` has 1, 3, 5, 7 and keeps 5 and 7: 3 is the predecessor of the first retained one.
    for offset in 0..3 {
        let attached = node.attach(0, &a, after(&a, offset));
        assert_eq!(
            attached.gap,
            gap(GapReason::Retention, Some(offset), Some(5), 3)
        );
        assert_eq!((attached.asked, attached.start), (Some(offset), 3));
    }
    for offset in 3..8 {
        let attached = node.attach(0, &a, after(&a, offset));
        assert_eq!((attached.gap, attached.start), (None, offset));
    }
}

#[test]
fn d5_without_history_a_cursor_at_the_head_has_no_gap_and_any_other_has_one() {
    let mut node = Settings::keeping(0).node();
    let a = sibling("a", 0);
    for _ in 0..3 {
        node.publish(&a, "0");
    }
    assert_eq!(node.attach(0, &a, after(&a, 3)).gap, None);
    let attached = node.attach(0, &a, after(&a, 2));
    assert_eq!(attached.gap, gap(GapReason::Retention, Some(2), None, 3));
    let attached = node.attach(0, &a, after(&a, 4));
    assert_eq!(attached.gap, gap(GapReason::PositionUnknown, None, None, 3));
    assert_eq!(
        (node.engines[0].usage().channels, node.publish(&a, "0")),
        (0, 4)
    );
}

#[test]
fn a_catch_up_over_the_bound_continues_at_the_newest_that_fit() {
    let mut node = Settings::default().node();
    let a = sibling("a", 0);
    for _ in 0..6 {
        node.publish(&a, "1234567890");
    }
    let mut check = |start, count, bytes, expected| {
        let attached = node.attach_within(0, &a, start, MaxCatchup { count, bytes });
        assert_eq!(attached.gap, expected, "{start:?} {count} {bytes}");
        assert_eq!(
            attached.start,
            expected.map_or(attached.start, |gap| gap.resume)
        );
    };
    let limit = |last, next, resume| gap(GapReason::Limit, last, Some(next), resume);
    check(after(&a, 1), 5, 50, None);
    check(after(&a, 1), 4, 50, limit(Some(1), 3, 2));
    check(after(&a, 1), 5, 49, limit(Some(1), 3, 2));
    check(after(&a, 1), 5, 20, limit(Some(1), 5, 4));
    check(after(&a, 1), 0, 0, limit(Some(1), 6, 5));
    check(after(&a, 5), 0, 0, None);
    check(Start::Earliest, 2, 50, limit(None, 5, 4));
    check(Start::Latest, 0, 0, None);
    check(
        Start::Unknown,
        0,
        0,
        gap(GapReason::PositionUnknown, None, None, 6),
    );
}

#[test]
fn a_gap_that_is_there_anyway_keeps_its_reason_when_it_grows() {
    let mut node = Settings::keeping(4).node();
    let a = sibling("a", 0);
    for _ in 0..6 {
        node.publish(&a, "0");
    }
    let max = MaxCatchup {
        count: 2,
        bytes: 100,
    };
    let attached = node.attach_within(0, &a, after(&a, 1), max);
    assert_eq!(attached.gap, gap(GapReason::Retention, Some(1), Some(5), 4));
    let foreign = Position {
        epoch: Epoch(1).tag(&a),
        offset: 1,
    };
    let attached = node.attach_within(0, &a, Start::After(foreign), max);
    assert_eq!(attached.gap, gap(GapReason::EpochChanged, None, Some(5), 4));
    assert_eq!(attached.start, 4);
}
