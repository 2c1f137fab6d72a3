//! The same promises with a bad network in between.

use std::time::Duration;

use bellwire_testkit::{
    proxy::{Cut, Proxy, Rules},
    raw::{Item, Stream, Transport, Wish},
    wait,
};

use super::on_every_transport;
use crate::{dev, numbers, publish, publish_numbers};

on_every_transport! {
    a_stream_cut_after_any_byte_resumes_without_loss
    a_stalled_stream_goes_on_where_it_stood
    a_slow_line_loses_nothing
    a_client_that_has_finished_sending_still_receives_nothing_twice
    resets_and_fins_end_the_connection_on_the_server
}

/// Reads messages until the stream is cut; gives their data and the cursor to come back with.
fn until_cut(mut stream: Box<dyn Stream>, wanted: usize) -> (Vec<u64>, String) {
    let mut data = Vec::new();
    while data.len() < wanted {
        match stream.next(std::time::Instant::now() + wait::SOON) {
            Ok(Item::Message(envelope)) => data.push(envelope["data"].as_u64().unwrap()),
            Ok(Item::Hello(_) | Item::Idle) => {}
            Ok(Item::End(None)) => break,
            Err(error) if error.kind() != std::io::ErrorKind::TimedOut => break,
            other => panic!("{other:?} on a stream that is to be cut"),
        }
    }
    (data, stream.cursor())
}

/// Each connection is cut a few bytes later than the one before, so that many places are met:
/// inside of a frame header, a payload, an id line, a poll's head.
fn a_stream_cut_after_any_byte_resumes_without_loss(transport: Transport) {
    let server = dev();
    let proxy = Proxy::start(server.address());
    let first = publish(&server, "news", &0.into());
    publish_numbers(&server, "news", 1..60);
    let (mut received, mut cursor) = (Vec::new(), first);
    let mut bytes = 600;
    while received.len() < 59 {
        let how = if bytes % 2 == 0 { Cut::Reset } else { Cut::Fin };
        proxy.set(Rules {
            cut_after: Some((bytes, how)),
            ..Rules::default()
        });
        let wish = Wish::to(["news"]).from(&cursor).with("limit", "3");
        let (data, after) = until_cut(transport.open(proxy.address(), &wish), 59 - received.len());
        received.extend(data);
        cursor = after;
        bytes += 37;
    }
    assert_eq!(received, (1..60).collect::<Vec<_>>());
    assert!(proxy.accepted() > 5, "{} connections", proxy.accepted());
}

fn a_stalled_stream_goes_on_where_it_stood(transport: Transport) {
    let server = dev();
    let proxy = Proxy::start(server.address());
    let mut stream = transport.open(proxy.address(), &Wish::to(["news"]));
    stream.hello();
    publish_numbers(&server, "news", 0..2);
    assert_eq!(stream.data(2), numbers(0..2));
    proxy.set(Rules {
        stall_down: true,
        ..Rules::default()
    });
    publish_numbers(&server, "news", 2..90);
    stream.stays_silent(Duration::from_millis(100));
    proxy.heal();
    assert_eq!(stream.data(88), numbers(2..90));
}

fn a_slow_line_loses_nothing(transport: Transport) {
    let server = dev();
    let proxy = Proxy::start(server.address());
    let delay = Duration::from_millis(5);
    proxy.set(Rules {
        delay,
        throttle: Some(100_000),
        ..Rules::default()
    });
    let mut stream = transport.open(proxy.address(), &Wish::to(["news"]));
    stream.hello();
    let text = "x".repeat(2_000);
    for _ in 0..40 {
        publish(&server, "news", &text.as_str().into());
    }
    assert!(stream.data(40).iter().all(|data| *data == text));
}

/// HTTP/1.1 lets a client close its half after the request; it is served or let go, and in either
/// case what it got is a whole beginning of the log.
fn a_client_that_has_finished_sending_still_receives_nothing_twice(transport: Transport) {
    let server = dev();
    let proxy = Proxy::start(server.address());
    let mut stream = transport.open(proxy.address(), &Wish::to(["news"]));
    stream.hello();
    let cursor = stream.cursor();
    publish_numbers(&server, "news", 0..3);
    proxy.cut(Cut::TowardsServer);
    publish_numbers(&server, "news", 3..6);
    let (before, after) = until_cut(stream, 6);
    let cursor = if before.is_empty() { cursor } else { after };
    let mut stream = transport.open(proxy.address(), &Wish::to(["news"]).from(cursor));
    stream.hello();
    let known = before.len() as u64;
    assert_eq!(before, (0..known).collect::<Vec<_>>());
    let rest = usize::try_from(6 - known).unwrap();
    assert_eq!(stream.data(rest), numbers(known..6));
}

fn resets_and_fins_end_the_connection_on_the_server(transport: Transport) {
    let server = dev();
    let proxy = Proxy::start(server.address());
    for cut in [Cut::Reset, Cut::Fin] {
        let mut streams: Vec<_> = (0..5)
            .map(|_| transport.open(proxy.address(), &Wish::to(["news"])))
            .collect();
        for stream in &mut streams {
            stream.hello();
            // A poll is a connection of the server only while it waits.
            stream.stays_silent(Duration::from_millis(30));
        }
        let connections = || {
            let path = "/v1/connections";
            let listing = bellwire_testkit::http::Request::get(path)
                .send(server.address())
                .json();
            listing["connections"].as_array().unwrap().len()
        };
        wait::until("five connections", || connections() == 5);
        proxy.cut(cut);
        drop(streams);
        wait::until("no connection", || connections() == 0);
    }
}
