//! Pages of the log for connections behind the tail.

use super::*;

fn ten() -> (Node, Channel) {
    let mut node = Settings::keeping(8).node();
    let a = sibling("a", 0);
    for _ in 0..10 {
        node.publish(&a, "1234567890");
    }
    (node, a)
}

#[test]
fn a_log_that_fits_is_one_page_for_readers_at_every_offset() {
    let (mut node, a) = ten();
    for after in [0, 2, 5, 10, 99] {
        let page = node.read(&a, after, 80);
        assert_eq!((page.trimmed, page.oldest), (2, Some(3)));
        assert_eq!((page.start, page.end, page.publications.len()), (2, 10, 8));
    }
}

#[test]
fn a_page_of_a_longer_log_begins_where_it_was_asked_and_ends_where_it_is_full() {
    let (mut node, a) = ten();
    let mut check = |after, max_bytes, start, expected: &[u64]| {
        let page = node.read(&a, after, max_bytes);
        assert_eq!((page.trimmed, page.start), (2, start));
        assert_eq!(offsets(&page.publications), expected);
        assert_eq!(page.end, expected.last().copied().unwrap_or(10));
    };
    check(4, 29, 4, &[5, 6]);
    check(0, 30, 2, &[3, 4, 5]);
    check(4, 0, 4, &[5]);
    check(9, 79, 9, &[10]);
    check(10, 79, 10, &[]);
    check(99, 79, 10, &[]);
}

#[test]
fn a_page_of_a_channel_without_a_log_ends_at_the_counter() {
    let (mut node, _) = ten();
    let page = node.read(&sibling("a", 1), 7, 100);
    assert_eq!(
        (page.trimmed, page.oldest, page.start, page.end),
        (0, None, 0, 10)
    );
}
