//! What is a poll's own, although thousands of polls share the memory of their response heads.

use bellwire_testkit::http::{Link, Request};

use crate::{dev, publish_numbers};

#[test]
fn each_poll_has_its_own_name_and_the_origin_that_asked() {
    let server = dev();
    // One connection, so one shard, whose polls share a head where they can.
    let mut link = Link::connect(server.address());
    let mut names = Vec::new();
    for origin in [
        "http://localhost:1",
        "http://localhost:1",
        "http://localhost:2",
        "http://localhost:1",
    ] {
        link.send(&Request::get("/v1/poll?channel=news").header("origin", origin));
        let answer = link.answer();
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        names.push(answer.header("bellwire-connection").unwrap().to_owned());
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names.iter().all(|name| name.len() == 11), "{names:?}");
}

#[test]
fn a_poll_that_is_not_held_is_not_answered_before_the_log_is_read() {
    let server = dev();
    publish_numbers(&server, "news", 0..60);
    let mut link = Link::connect(server.address());
    for nth in 0..1_500 {
        link.send(&Request::get(
            "/v1/poll?channel=news&cursor=earliest&timeout=0",
        ));
        let answer = link.answer().json();
        assert_eq!(
            answer["messages"].as_array().unwrap().len(),
            60,
            "poll {nth}: {answer}"
        );
    }
}
