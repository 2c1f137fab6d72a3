//! Bounds on connections: what happens to those who find no room, and that it passes.

use std::time::{Duration, Instant};

use bellwire_testkit::{
    http::{Answer, Link, Request},
    process::{Server, raise_descriptor_limit},
    raw::{Stream, Transport, Wish},
    wait::{self, SOON},
};

use crate::{binary, dev_with, publish, say};

const DESCRIPTORS: u64 = 500;
const CLIENTS: usize = 600;

/// The open streams, and the answers to those who found no room.
struct Flood {
    seated: Vec<Box<dyn Stream>>,
    refused: Vec<(Transport, Answer)>,
}

/// Opens streams of all transports until all clients have asked.
fn flood(server: &Server, cursor: &str) -> Flood {
    raise_descriptor_limit();
    // Seated before all others, so that a look takes nobody's place.
    let mut looks = Link::connect(server.address());
    let mut flood = Flood {
        seated: Vec::new(),
        refused: Vec::new(),
    };
    for nth in 0..CLIENTS {
        let transport = Transport::ALL[nth % 3];
        let wish = Wish::to(["news"]);
        // A poll holds its seat while it waits, which it does with a cursor.
        let opened = if transport == Transport::Poll {
            hold_poll(server, &mut looks, cursor)
        } else {
            transport.try_open(server.address(), &wish)
        };
        match opened {
            // Who comes too late is told so inside of a stream that ends.
            Ok(mut stream) => match stream.next(Instant::now() + SOON) {
                Ok(bellwire_testkit::raw::Item::End(None)) => {
                    let answer = Request::get("/v1/sse?channel=news").send(server.address());
                    flood.refused.push((transport, answer));
                }
                Ok(_) => flood.seated.push(stream),
                Err(error) => panic!("client {nth} over {transport:?}: {error}"),
            },
            Err(answer) => flood.refused.push((transport, answer)),
        }
    }
    flood
}

/// Sends a poll that is held, or gives the refusal. The server says which, on a connection of its own.
fn hold_poll(server: &Server, looks: &mut Link, cursor: &str) -> Result<Box<dyn Stream>, Answer> {
    let before = held_polls(looks);
    let target = format!("/v1/poll?channel=news&timeout=60&cursor={cursor}");
    let mut link = Link::connect(server.address());
    link.send(&Request::get(&target));
    let is_refused = wait::within(SOON, "the poll to be held or refused", || {
        let soon = Instant::now() + Duration::from_millis(1);
        let has_answer = link.await_some(soon).is_ok();
        (has_answer || held_polls(looks) > before).then_some(has_answer)
    });
    if is_refused {
        return Err(link.answer());
    }
    Ok(Box::new(Held(link)))
}

/// How many polls the server holds.
fn held_polls(looks: &mut Link) -> usize {
    looks.send(&Request::get("/metrics"));
    let metrics = looks.answer().text();
    let start = "bellwire_connections{transport=\"poll\"} ";
    let count = metrics.lines().find_map(|line| line.strip_prefix(start));
    count.expect("the metric").parse().expect("a number")
}

/// A poll that waits. It has said nothing, which is what a seat is.
#[derive(Debug)]
struct Held(Link);

impl Stream for Held {
    fn next(&mut self, _deadline: Instant) -> std::io::Result<bellwire_testkit::raw::Item> {
        Ok(bellwire_testkit::raw::Item::Idle)
    }

    fn cursor(&self) -> String {
        String::new()
    }

    fn cut(self: Box<Self>) {
        self.0.reset();
    }
}

#[test]
fn six_hundred_clients_of_five_hundred_descriptors_are_all_answered() {
    let server = binary()
        .args(["--dev"])
        .max_descriptors(DESCRIPTORS)
        .start();
    let cursor = publish(&server, "news", &0.into());
    let flood = flood(&server, &cursor);
    let seated = flood.seated.len();
    assert!(
        (400..=436).contains(&seated),
        "{seated} of {DESCRIPTORS} - 64 have a seat"
    );
    for (transport, answer) in &flood.refused {
        match transport {
            Transport::Sse => {
                assert_eq!(answer.status(), 200, "{}", answer.text());
                assert_eq!(answer.header("content-type"), Some("text/event-stream"));
                let retry = answer.text();
                let retry = retry
                    .strip_prefix("retry: ")
                    .and_then(|r| r.strip_suffix("\n\n"));
                let retry: u64 = retry.unwrap().parse().unwrap();
                assert!((1_000..=3_000).contains(&retry), "{retry}");
            }
            Transport::WebSocket | Transport::Poll => {
                assert_eq!(answer.status(), 503, "{}", answer.text());
                assert_eq!(answer.json()["code"], "overloaded");
                assert!(answer.header("retry-after").is_some());
            }
        }
        assert_eq!(answer.header("connection"), Some("close"));
    }
    for path in ["/livez", "/metrics"] {
        assert_eq!(
            Request::get(path).send(server.address()).status(),
            200,
            "{path}"
        );
    }
    assert_eq!(Request::get("/readyz").send(server.address()).status(), 503);

    let cpu = idle_cpu(&server);
    assert!(
        cpu < Duration::from_millis(200),
        "{cpu:?} of CPU in two idle seconds"
    );
    say(&format!(
        "{seated} seated, {} refused, {cpu:?} of CPU in two idle seconds",
        flood.refused.len()
    ));

    drop(flood);
    wait::until("the node to be ready again", || {
        Request::get("/readyz").send(server.address()).status() == 200
    });
    wait::until("everybody to have left", || sessions(&server) == 0);
    let mut again: Vec<_> = (0..400)
        .map(|nth| Transport::ALL[nth % 2].open(server.address(), &Wish::to(["news"])))
        .collect();
    for stream in &mut again {
        stream.hello();
    }
    publish(&server, "news", &1.into());
    for stream in &mut again {
        assert_eq!(stream.message()["data"], 1);
    }
}

#[test]
fn clients_that_say_nothing_do_not_make_the_server_spin() {
    let arguments = ["--dev", "--limits-handshake-timeout", "4s"];
    let server = binary()
        .args(arguments)
        .max_descriptors(DESCRIPTORS)
        .start();
    raise_descriptor_limit();
    let silent: Vec<Link> = (0..CLIENTS)
        .map(|_| Link::connect(server.address()))
        .collect();
    let cpu = idle_cpu(&server);
    assert!(
        cpu < Duration::from_millis(200),
        "{cpu:?} of CPU in two idle seconds"
    );
    let complaints = server.log().matches("accepting failed").count();
    assert!(complaints <= 3, "{complaints} complaints about accepting");
    say(&format!(
        "{cpu:?} of CPU in two idle seconds with {CLIENTS} silent clients"
    ));
    // Their handshake times out, and others come in.
    let alive = Request::get("/livez").send(server.address());
    assert_eq!(alive.status(), 200);
    drop(silent);
}

/// CPU time that the server takes over two seconds in which nothing happens.
fn idle_cpu(server: &Server) -> Duration {
    let before = server.cpu_time();
    std::thread::sleep(Duration::from_secs(2));
    server.cpu_time() - before
}

/// Open sessions.
fn sessions(server: &Server) -> usize {
    let listing = Request::get("/v1/connections")
        .send(server.address())
        .json();
    listing["connections"].as_array().expect("a listing").len()
}

#[test]
fn the_number_of_connections_can_be_set() {
    let server = dev_with(&["--limits-max-connections", "2"]);
    let mut first = Transport::Sse.open(server.address(), &Wish::to(["news"]));
    let mut second = Transport::WebSocket.open(server.address(), &Wish::to(["news"]));
    first.hello();
    second.hello();
    let refused = Transport::WebSocket.try_open(server.address(), &Wish::to(["news"]));
    assert_eq!(refused.unwrap_err().json()["code"], "overloaded");
    let publish = Request::post("/v1/channels/news", "1").send(server.address());
    assert_eq!(publish.status(), 503, "publishing needs a connection too");
    drop(first);
    wait::until("a seat", || {
        Request::post("/v1/channels/news", "2")
            .send(server.address())
            .status()
            == 200
    });
    assert_eq!(second.message()["data"], 2);
}
