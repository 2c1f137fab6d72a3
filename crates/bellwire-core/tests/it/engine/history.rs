//! Pages for history readers, in both directions.

use super::*;

fn kept(from: usize, to: usize) -> (Node, Channel) {
    let mut node = Settings::keeping(to - from + 1).node();
    let a = sibling("a", 0);
    for _ in 1..=to {
        node.publish(&a, "0");
    }
    (node, a)
}

/// Reads page after page.
fn walk(node: &mut Node, channel: &Channel, start: Start, order: Order) -> Vec<Vec<u64>> {
    let mut pages = Vec::new();
    let mut start = start;
    loop {
        let page = node.history(channel, start, order, 3);
        assert_eq!(page.gap, None);
        pages.push(offsets(&page.publications));
        if !page.more {
            return pages;
        }
        start = after(channel, page.cursor);
    }
}

#[test]
fn pages_go_from_the_oldest_to_the_newest() {
    let (mut node, a) = kept(3, 10);
    let expected = [vec![3, 4, 5], vec![6, 7, 8], vec![9, 10]];
    assert_eq!(walk(&mut node, &a, Start::Earliest, Order::Asc), expected);
    let page = node.history(&a, Start::Latest, Order::Asc, 3);
    assert_eq!(
        (page.publications.len(), page.cursor, page.more),
        (0, 10, false)
    );
}

#[test]
fn pages_go_from_the_newest_to_the_oldest() {
    let (mut node, a) = kept(3, 10);
    let expected = [vec![10, 9, 8], vec![7, 6, 5], vec![4, 3]];
    assert_eq!(walk(&mut node, &a, Start::Latest, Order::Desc), expected);
    let page = node.history(&a, Start::Earliest, Order::Desc, 3);
    assert_eq!((page.publications.len(), page.more), (0, false));
}

#[test]
fn a_page_that_is_exactly_full_says_whether_more_follows() {
    let (mut node, a) = kept(1, 3);
    for (order, start) in [(Order::Asc, Start::Earliest), (Order::Desc, Start::Latest)] {
        assert!(!node.history(&a, start, order, 3).more);
        assert!(node.history(&a, start, order, 2).more);
    }
}

#[test]
fn a_page_holds_one_publication_however_large_it_is() {
    let (mut node, a) = kept(1, 3);
    let start = Start::Earliest;
    let (order, limit, max_bytes) = (Order::Asc, 9, 0);
    let channel = a;
    let request = Request::History {
        channel,
        start,
        order,
        limit,
        max_bytes,
    };
    let token = node.submit(0, request);
    let Some(Reply::History(page)) = node.reply(0, token) else {
        panic!()
    };
    assert_eq!(
        (offsets(&page.publications), page.cursor, page.more),
        (vec![1], 1, true)
    );
}

#[test]
fn a_start_that_is_gone_is_said_as_at_attach() {
    let (mut node, a) = kept(3, 10);
    let page = node.history(&a, after(&a, 1), Order::Asc, 3);
    assert_eq!(page.gap, gap(GapReason::Retention, Some(1), Some(3), 2));
    assert_eq!(offsets(&page.publications), [3, 4, 5]);
    let page = node.history(&a, after(&a, 1), Order::Desc, 3);
    assert_eq!(page.gap, gap(GapReason::Retention, Some(1), Some(3), 2));
    assert_eq!((page.publications.len(), page.more), (0, false));
    let foreign = Position {
        epoch: Epoch(1).tag(&a),
        offset: 5,
    };
    for (order, first) in [(Order::Asc, 3), (Order::Desc, 10)] {
        let page = node.history(&a, Start::After(foreign), order, 1);
        assert_eq!(page.gap, gap(GapReason::EpochChanged, None, Some(3), 2));
        assert_eq!(offsets(&page.publications), [first]);
    }
}

#[test]
fn history_of_a_channel_without_a_log_is_empty() {
    let (mut node, _) = kept(1, 4);
    let page = node.history(&sibling("a", 1), Start::Earliest, Order::Asc, 3);
    assert_eq!(
        (page.publications.len(), page.cursor, page.more),
        (0, 0, false)
    );
    let page = node.history(&sibling("a", 1), Start::Latest, Order::Desc, 3);
    assert_eq!(
        (page.publications.len(), page.cursor, page.more),
        (0, 4, false)
    );
}
