//! What is true of encryption itself. That everything else holds over TLS too is tried by running
//! the suite of behaviours with `BELLWIRE_TEST_TLS` set.

use std::{
    fs,
    io::Read as _,
    path::Path,
    process::{Command, Output},
    time::Instant,
};

use bellwire_testkit::{
    certificate::Certificate,
    http::{Link, Request},
    process::Server,
    proxy::{Cut, Proxy},
    raw::{Sse, Stream as _, Transport, Wish},
    tunnel::{Tunnel, exchange, stopped},
    wait::{self, SOON},
};
use bellwire_wire::websocket::encode_masked_close;

use crate::{
    binary, handshakes::handshake, numbers, publish, publish_numbers, say,
    slow_consumers::stopped_readers,
};

fn dev_tls() -> Server {
    binary().args(["--dev"]).tls().start()
}

/// Asks with curl, which trusts this certificate alone.
fn curl(server: &Server, certificate: &Path, arguments: &[&str], path: &str) -> Output {
    let url = format!("https://{}{path}", server.listening());
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "10", "--cacert"]);
    curl.arg(certificate).args(arguments).arg(url);
    curl.output().expect("curl is installed")
}

/// Whether the server shows this certificate.
fn shows(server: &Server, certificate: &Path) -> bool {
    curl(server, certificate, &[], "/livez").stdout == b"ok\n"
}

#[test]
fn plain_http_is_told_to_use_https() {
    let server = dev_tls();
    let answer = Request::get("/livez").send(server.listening());
    assert_eq!(answer.status(), 400);
    let detail = "this port speaks HTTPS; use https:// here";
    assert_eq!(answer.json()["detail"], detail);
}

#[test]
fn the_introduction_says_https_and_operations_stay_plain() {
    let server = binary().tls().start();
    let log = server.log();
    let main = format!("on https://{}/", server.listening());
    assert!(log.contains(&main), "{log}");
    assert!(log.contains("operations http://"), "{log}");
    let ready = Request::get("/readyz").send(server.admin());
    assert_eq!(ready.status(), 200);
}

#[test]
fn clients_choose_the_version_of_http() {
    let server = dev_tls();
    let certificate = server.certificate().path();
    for (wish, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let arguments = [wish, "--write-out", "%{http_version}"];
        let output = curl(&server, &certificate, &arguments, "/livez");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said, format!("ok\n{version}"), "{output:?}");
    }
    for version in ["1.2", "1.3"] {
        let arguments = ["--tls-max", version, &format!("--tlsv{version}")];
        let output = curl(&server, &certificate, &arguments, "/livez");
        assert_eq!(output.stdout, b"ok\n", "{version}: {output:?}");
    }
}

#[test]
fn a_renewed_certificate_is_shown_and_no_connection_is_lost() {
    let server = dev_tls();
    let mut stream = Sse::open(server.address(), &Wish::to(["news"])).unwrap();
    stream.hello();
    let certificate = server.certificate();
    let old = fs::read(certificate.path()).unwrap();
    let elsewhere = Certificate::new();
    fs::write(elsewhere.path(), old).unwrap();

    certificate.renew();
    let renewed = certificate.path();
    server.hang_up();
    server.await_log("new connections get the certificate as it is now");
    assert!(shows(&server, &renewed));
    assert!(!shows(&server, &elsewhere.path()));

    // Without a signal, by the files' time.
    certificate.renew();
    wait::until("the certificate to be looked at", || {
        shows(&server, &renewed)
    });

    fs::write(certificate.key(), "no key").unwrap();
    server.hang_up();
    server.await_log("the certificate stays as it was");
    assert!(server.log().contains("tls.key"), "{}", server.log());
    assert!(shows(&server, &renewed));

    // Publishing takes a tunnel that trusts the new one; the stream's old connection lives on.
    let tunnel = Tunnel::start(server.listening(), certificate, b"");
    let answer = Request::post("/v1/channels/news", "1").send(tunnel.address());
    assert_eq!(answer.status(), 200);
    assert_eq!(stream.message()["data"], 1);
}

#[test]
fn a_certificate_that_is_no_good_is_named_with_what_to_do() {
    let (mine, other) = (Certificate::new(), Certificate::new());
    let path = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let (certificate, key) = (path(mine.path()), path(mine.key()));
    for (arguments, complaint) in [
        (vec!["--tls-certificate", &certificate], "set tls.key too"),
        (vec!["--tls-key", &key], "set tls.certificate too"),
        (
            vec![
                "--tls-certificate",
                &certificate,
                "--tls-key",
                &path(other.key()),
            ],
            "is not the key of",
        ),
        (
            vec!["--tls-certificate", &certificate, "--tls-key", "/nowhere"],
            "/nowhere can't be read",
        ),
        (
            vec!["--tls-certificate", &key, "--tls-key", &key],
            "holds no certificate",
        ),
        (
            vec!["--tls-certificate", &certificate, "--tls-key", &certificate],
            "holds no private key",
        ),
    ] {
        let mut process = binary().args(["--dev"]).args(arguments).spawn();
        assert_eq!(process.wait(SOON).code(), Some(1));
        let log = process.log();
        assert!(log.contains(complaint), "{complaint}: {log}");
    }
}

#[test]
fn a_client_that_begins_no_handshake_is_dropped_in_time() {
    let arguments = ["--dev", "--limits-handshake-timeout", "4s"];
    let server = binary().args(arguments).tls().start();
    let mut silent = Link::connect(server.listening());
    // The beginning of a record, and nothing more.
    let mut halfway = Link::connect(server.listening());
    halfway.send_bytes(&[22, 3, 1, 0, 200, 1]);
    for link in [&mut silent, &mut halfway] {
        let ended = link.read_some(Instant::now() + SOON);
        assert!(matches!(ended, Ok(None) | Err(_)), "{ended:?}");
    }
    let metrics = Request::get("/metrics").send(server.address()).text();
    assert!(
        metrics.contains("bellwire_requests_refused_total{code=\"handshake_timeout\"} 2"),
        "{metrics}"
    );
}

#[test]
fn every_connection_ends_with_the_word_that_nothing_more_comes() {
    let server = dev_tls();
    let close = |request: Request| request.header("connection", "close").to_bytes("localhost");
    let mut leaving = handshake("/v1/ws?channel=news", &[]).to_bytes("localhost");
    encode_masked_close(&mut leaving, 1000, "", [1, 2, 3, 4]);
    for request in [
        close(Request::get("/livez")),
        close(Request::post("/v1/channels/news", "1")),
        close(Request::get("/v1/poll?channel=news")),
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\nbroken\r\n\r\n".to_vec(),
        leaving,
    ] {
        let said = exchange(server.listening(), server.certificate(), 64 << 10, &request);
        let said = said.unwrap_or_else(|error| panic!("{error}: {}", request.escape_ascii()));
        assert!(said.starts_with(b"HTTP/1.1 "), "{}", said.escape_ascii());
    }
}

#[test]
fn a_certificate_too_long_for_a_slow_client_to_take_at_once_is_shown_to_its_end() {
    let server = dev_tls();
    let certificate = server.certificate();
    let chain = fs::read_to_string(certificate.path()).unwrap().repeat(120);
    fs::write(certificate.path(), chain).unwrap();
    server.hang_up();
    server.await_log("new connections get the certificate as it is now");
    let request = Request::get("/livez").header("connection", "close");
    let request = request.to_bytes("localhost");
    let said = exchange(server.listening(), certificate, 4 << 10, &request).unwrap();
    assert!(said.ends_with(b"ok\n"), "{}", said.escape_ascii());
}

#[test]
fn whatever_comes_in_place_of_records_ends_the_connection() {
    let server = dev_tls();
    for bytes in [
        &[22, 3, 1, 0xff, 0xff, 1][..],
        &[22, 3, 1, 0, 4, 9, 9, 9, 9],
        &[22; 40_000],
    ] {
        let mut link = Link::connect(server.listening());
        link.send_bytes(bytes);
        let mut said = Vec::new();
        // An alert, or a reset where more was sent than was read.
        link.stream().read_to_end(&mut said).ok();
        assert!(said.len() < 100, "an alert at most");
    }
    assert_eq!(Request::get("/livez").send(server.address()).status(), 200);
}

#[test]
fn streams_cut_inside_of_records_resume_without_loss() {
    let server = dev_tls();
    let proxy = Proxy::start(server.listening());
    let tunnel = Tunnel::start(proxy.address(), server.certificate(), b"");
    for transport in Transport::ALL {
        let channel = format!("cut:{transport:?}");
        let mut sent = 0;
        let mut received = Vec::new();
        let mut cursor = publish(&server, &channel, &"before".into());
        for round in 0..12 {
            let wish = Wish::to([&channel]).from(&cursor);
            let mut stream = transport.open(tunnel.address(), &wish);
            stream.hello();
            for _ in 0..10 {
                publish(&server, &channel, &sent.into());
                sent += 1;
            }
            // Somewhere in the middle, while more is under way.
            for _ in 0..round {
                let envelope = stream.message();
                received.push(envelope["data"].clone());
                cursor = envelope["id"].as_str().expect("an id").to_owned();
            }
            proxy.cut(if round % 2 == 0 { Cut::Reset } else { Cut::Fin });
        }
        let mut stream = transport.open(tunnel.address(), &Wish::to([&channel]).from(&cursor));
        stream.hello();
        while (received.len() as u64) < sent {
            received.push(stream.message()["data"].clone());
        }
        assert_eq!(received, numbers(0..sent), "{transport:?}");
    }
}

#[test]
fn readers_that_stop_cost_one_record_each_and_nobody_else_anything() {
    const STOPPED: usize = 100;
    let server = binary()
        .args(["--dev", "--heartbeat", "10min"])
        .tls()
        .start();
    let mut reader = Sse::open(server.address(), &Wish::to(["flood"])).unwrap();
    reader.hello();
    // Their tunnel passes nothing on once they do not read.
    let stopped = stopped_readers(&server, STOPPED);
    let filler = "x".repeat(32 << 10);
    let before = server.resident_bytes();
    let mut peak = 0;
    for number in 0..512 {
        publish(&server, "flood", &serde_json::json!([number, filler]));
        assert_eq!(reader.message()["data"][0], number);
        peak = peak.max(server.resident_bytes());
    }
    let grown = peak.saturating_sub(before);
    say(&format!(
        "{STOPPED} stopped readers over TLS: memory grew by {:.1} MB",
        grown as f64 / 1e6
    ));
    // History, and of each reader a record and the rest of a message.
    assert!(grown < 12 << 20, "memory grew by {grown} bytes");
    drop(stopped);
}

#[test]
fn who_does_not_take_its_end_is_let_go_however_long_others_may_idle() {
    let server = Server::builder(env!("CARGO_BIN_EXE_bellwire"))
        .args(["--dev", "--shards", "1"])
        .args(["--limits-keep-alive-timeout", "10min"])
        .tls()
        .start();
    let ask = |request: Request| {
        let request = request.header("connection", "close");
        request.send(server.address())
    };
    let sockets = || {
        let metrics = ask(Request::get("/metrics")).text();
        let mut lines = metrics.lines();
        let count = lines.find_map(|line| line.strip_prefix("bellwire_sockets "));
        count.unwrap().parse::<usize>().unwrap()
    };
    let mut idle = Link::connect(server.address());
    idle.send(&Request::get("/v1/poll?channel=news"));
    assert_eq!(idle.answer().status(), 200);
    let events = Request::get("/v1/sse?channel=flood").to_bytes("localhost");
    let _stopped = stopped(server.listening(), server.certificate(), &events).unwrap();
    // More than all buffers on its way hold.
    let filler = "x".repeat(30 << 10);
    for _ in 0..60 {
        publish(&server, "flood", &filler.clone().into());
    }
    wait::until("the publishers to have left", || sockets() == 3);
    let listing = ask(Request::get("/v1/connections")).json();
    let id = listing["connections"][0]["id"].as_str().unwrap();
    let closed = ask(Request::new("DELETE", &format!("/v1/connections/{id}")));
    assert_eq!(closed.json()["closed"], 1);
    assert_eq!(sockets(), 3, "it has not taken its last words");
    // The idle one is left, and that of the look itself.
    wait::until("the stopped reader to be gone", || sockets() == 2);
}

#[test]
fn held_connections_survive_a_crowd_that_comes_and_goes() {
    let server = dev_tls();
    let mut streams: Vec<_> = Transport::ALL
        .map(|transport| transport.open(server.address(), &Wish::to(["news"])))
        .into();
    for stream in &mut streams {
        stream.hello();
    }
    for number in 0..20_u64 {
        publish_numbers(&server, "news", number..number + 1);
        for stream in &mut streams {
            assert_eq!(stream.message()["data"], number);
        }
        drop(Transport::Sse.open(server.address(), &Wish::to(["news"])));
    }
}
