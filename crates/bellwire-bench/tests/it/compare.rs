//! `bellwire bench --compare`: one feed by each transport.

use bellwire_bench::{
    Dialect, Target, Wire,
    compare::{Comparison, Row, Transport, markdown, run},
};
use bellwire_server::{
    Node,
    config::{Layers, load},
};

const CLIENTS: usize = 20;

fn node() -> Node {
    let flags = [("listen", "127.0.0.1:0"), ("dev", "true"), ("shards", "1")];
    let layers = flags
        .into_iter()
        .fold(Layers::default(), |layers, (name, value)| {
            layers.with_flag(name, vec![value.to_owned()])
        });
    let config = load(&layers).expect("the configuration holds").config;
    Node::start(config).expect("the node starts")
}

/// Five messages a second for a second, and short polls four times as often.
fn plan(node: &Node) -> Comparison {
    Comparison {
        clients: CLIENTS,
        idle_clients: CLIENTS,
        rates: vec![300.0],
        seconds: 1.0,
        interval: 0.05,
        pid: Some(std::process::id()),
        ..Comparison::new(Target {
            address: node.address(),
            publish: node.address(),
            host: node.address().to_string(),
            secure: None,
            publish_secure: None,
            dialect: Dialect::Bellwire,
            wire: Wire::Sse,
            query: String::new(),
            credential: None,
        })
    }
}

#[test]
fn every_transport_brings_every_message_and_only_polls_ask_for_them() {
    let node = node();
    let mut steps = Vec::new();
    let rows = run(&plan(&node), &mut |step, share| {
        assert!((0.0..=1.0).contains(&share), "{step}: {share}");
        if steps.last().is_none_or(|last| last != step) {
            steps.push(step.to_owned());
        }
    })
    .unwrap();
    node.stop().expect("the node ends in order");
    assert_eq!(rows.len(), 4);
    assert!(steps.contains(&"SSE, 300 a minute".to_owned()), "{steps:?}");
    let row = |transport| -> &Row {
        let mut rows = rows.iter();
        rows.find(|row| row.transport == transport).unwrap()
    };
    for row in &rows {
        assert_eq!(row.messages, 5 * CLIENTS as u64, "{row:?}");
        assert!(row.received > 128.0 && row.cpu_us.is_some(), "{row:?}");
    }
    let long = row(Transport::LongPolling);
    assert!(long.requests > 0.7 && long.requests <= 1.0, "{long:?}");
    let short = row(Transport::ShortPolling);
    assert!(short.requests > 1.5 * long.requests, "{short:?} {long:?}");
    assert!(short.sent > long.sent && short.received > long.received);
    for stream in [Transport::Sse, Transport::WebSocket] {
        assert_eq!((row(stream).requests, row(stream).sent), (0.0, 0.0));
    }
    assert_eq!(markdown(&rows).lines().count(), 2 + 4 + 3 + 4);
}
