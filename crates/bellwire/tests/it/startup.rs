//! What a server says at its start and when it can't start.

use std::net::TcpListener;

use bellwire_testkit::{credentials::jwt_key, process::ServerBuilder, wait::SOON};

use crate::{binary, dev, secured};

/// Runs a server that does not start; gives what it says.
fn complaint(builder: &ServerBuilder) -> String {
    let mut process = builder.spawn();
    let status = process.wait(SOON);
    assert_eq!(status.code(), Some(1), "{}", process.log());
    process.log()
}

#[test]
fn a_busy_port_names_its_holder_and_the_flag() {
    let mut first = dev();
    let address = first.address();
    let log = complaint(&binary().args(["--dev"]).listen(address));
    let holder = format!("(pid {})", first.process().pid());
    assert!(log.contains(&format!("{address} is taken by ")), "{log}");
    assert!(log.contains(&holder), "{log}");
    assert!(log.contains("--listen"), "{log}");

    let mine = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mine.local_addr().unwrap();
    let arguments = [
        "--jwt-key",
        &jwt_key(),
        "--admin-listen",
        &address.to_string(),
    ];
    let log = complaint(&binary().args(arguments));
    let holder = format!("(pid {})", std::process::id());
    assert!(
        log.contains(&holder) && log.contains("--admin-listen"),
        "{log}"
    );
}

#[test]
fn an_address_that_is_not_here_names_the_flag() {
    let log = complaint(
        &binary()
            .args(["--jwt-key", &jwt_key()])
            .listen("192.0.2.1:2355"),
    );
    assert!(
        log.contains("192.0.2.1:2355") && log.contains("--listen"),
        "{log}"
    );
}

#[test]
fn the_introduction_has_urls_openness_and_ceilings() {
    let server = dev();
    let log = server.log();
    let main = server.url("");
    for part in [
        &format!("Bellwire {} on {main}/\n", env!("CARGO_PKG_VERSION")),
        &format!("curl -N '{main}/v1/sse?channel=news'"),
        &format!("curl -d hello {main}/v1/channels/news"),
        &format!("operations {main}/metrics"),
        "open to    this machine: everything",
        " descriptors), ",
        "2 shards",
    ] {
        assert!(log.contains(part), "{part:?} is not in\n{log}");
    }
    let secured = secured(&[]);
    let log = secured.server.log();
    assert!(
        log.contains("1 token keys, 1 API keys, 0 namespaces without credentials"),
        "{log}"
    );
    assert_ne!(secured.server.admin(), secured.server.address());
}

#[test]
fn every_mistake_of_the_configuration_is_named() {
    let directory = std::env::temp_dir().join(format!("bellwire-startup-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("bellwire.toml");
    std::fs::write(
        &path,
        "listn = \"127.0.0.1:1\"\n\n[history]\ncount = \"many\"\n",
    )
    .unwrap();
    let config = path.to_str().unwrap();
    let builder = binary()
        .args(["--config", config, "--heartbeat", "soon"])
        .env("BELLWIRE_LIMITS_MAX_BATCH", "0")
        .env("BELLWIRE_HEARTBEET", "20s");
    let log = complaint(&builder);
    for part in [
        "listn",
        "listen?",
        "bellwire.toml:1",
        "history.count",
        "bellwire.toml:4",
        "--heartbeat",
        "\"soon\"",
        "BELLWIRE_LIMITS_MAX_BATCH",
        "BELLWIRE_HEARTBEET",
        "BELLWIRE_HEARTBEAT?",
    ] {
        assert!(log.contains(part), "{part:?} is not in\n{log}");
    }
    let missing = complaint(&binary().args(["--config", "/nowhere/bellwire.toml"]));
    assert!(missing.contains("/nowhere/bellwire.toml"), "{missing}");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn an_unknown_flag_is_an_error_of_usage() {
    let mut process = binary().args(["--lisen", "127.0.0.1:1"]).spawn();
    let status = process.wait(SOON);
    assert_eq!(status.code(), Some(2));
    assert!(process.log().contains("--listen"), "{}", process.log());
}

#[test]
fn a_node_that_was_told_to_end_ends_with_zero() {
    let arguments = ["--drain-delay", "0s", "--drain-window", "0s"];
    let mut server = crate::dev_with(&arguments);
    server.terminate();
    let status = server.process().wait(SOON);
    assert_eq!(status.code(), Some(0), "{}", server.log());
}
