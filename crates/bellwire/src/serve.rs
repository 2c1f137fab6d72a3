//! `bellwire serve`: starts a node, says what it does, and drains it when asked to end.

use std::{fmt::Write as _, io::IsTerminal, net::SocketAddr};

use anyhow::Result;
use bellwire_server::{
    Node,
    config::{Config, LogFormat, LogLevel, available_memory_bytes, max_descriptors},
};
use clap::{ArgMatches, Command};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::config_command::{loaded, with_settings};

/// The `serve` command.
pub(crate) fn command() -> Command {
    with_settings(Command::new("serve").about("Run a server")).after_help(
        "Start on this machine, everything open:   bellwire serve --dev\n\
         With tokens and an API key:               bellwire serve --jwt-key HS256:SECRET \
         --api-key LINE\n\
         See what a configuration comes to:        bellwire config print",
    )
}

/// Runs `serve`.
pub(crate) fn run(matches: &ArgMatches) -> Result<()> {
    let config = loaded(matches)?.config;
    start_log(&config);
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<()> {
    // Before the shards, so that no signal finds the default action.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let node = Node::start(config)?;
    announce(&introduction(&node));
    tokio::select! {
        () = node.watch() => {}
        () = reload(&node, &mut hang_up) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let (hurry, hurried) = watch::channel(false);
    tokio::select! {
        () = node.drain(hurried) => {}
        () = again(&mut terminate, &mut interrupt, &hurry) => {}
    }
    node.stop()?;
    Ok(())
}

/// Reads the certificate anew for each SIGHUP.
async fn reload(node: &Node, hang_up: &mut Signal) {
    while hang_up.recv().await.is_some() {
        node.reload();
    }
}

/// A second signal ends now.
async fn again(terminate: &mut Signal, interrupt: &mut Signal, hurry: &watch::Sender<bool>) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    hurry.send_replace(true);
}

/// What a node says at its start: where it answers, what it can hold, what is open.
fn introduction(node: &Node) -> String {
    let config = node.config();
    let scheme = if config.tls.certificate.is_some() {
        "https"
    } else {
        "http"
    };
    let main = reachable(scheme, node.address());
    let mut text = format!("Bellwire {} on {main}/\n", env!("CARGO_PKG_VERSION"));
    let mut line = |name: &str, value: String| {
        writeln!(text, "  {name:<10} {value}").expect("writing to memory does not fail");
    };
    line("receive", format!("curl -N '{main}/v1/sse?channel=news'"));
    line("publish", format!("curl -d hello {main}/v1/channels/news"));
    if config.dev {
        line("page", format!("{main}/"));
    }
    match node.admin_address() {
        Some(admin) => line(
            "operations",
            format!("{}/metrics", reachable("http", admin)),
        ),
        None if config.dev => line("operations", format!("{main}/metrics")),
        None => line("operations", "off".to_owned()),
    }
    if let Some(key) = node.dev_key() {
        line("open with", format!("{main}/?key={key}"));
    }
    line("open to", openness(config));
    line(
        "ceilings",
        format!(
            "{} connections ({} descriptors), {} of history ({} of memory), {} shards",
            config.limits.connections(),
            max_descriptors(),
            mebibytes(config.limits.history_bytes()),
            mebibytes(available_memory_bytes()),
            config.shard_count(),
        ),
    );
    text
}

fn openness(config: &Config) -> String {
    if config.dev_public {
        return "whoever has the key: everything (development mode)".to_owned();
    }
    if config.dev {
        return "this machine: everything (development mode; see \"from --dev to production\")"
            .to_owned();
    }
    let anonymous = config.namespace.iter().filter(|namespace| {
        let rights = namespace.anonymous;
        rights.subscribe || rights.publish || rights.history || rights.presence
    });
    format!(
        "{} token keys, {} API keys, {} namespaces without credentials",
        config.jwt_key.len(),
        config.api_key.len(),
        anonymous.count()
    )
}

/// An address as something to click on: where "any address" was asked for, one of this machine's.
fn reachable(scheme: &str, address: SocketAddr) -> String {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(own_address().unwrap_or_else(|| std::net::Ipv4Addr::LOCALHOST.into()));
    }
    format!("{scheme}://{address}")
}

/// The address this machine would use towards others; nothing is sent to find it.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn mebibytes(bytes: usize) -> String {
    format!("{} MiB", bytes >> 20)
}

#[expect(
    clippy::print_stderr,
    reason = "the introduction is for people, beside the log"
)]
fn announce(text: &str) {
    eprint!("{text}");
}

fn start_log(config: &Config) {
    let level = match config.log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(terminal);
    let json = match config.log.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    // The HTTP/2 library would write frames, tokens among them, and a line for every attacker.
    let targets = Targets::new()
        .with_default(level)
        .with_target("h2", LevelFilter::OFF);
    if json {
        log.json().finish().with(targets).init();
    } else {
        log.finish().with(targets).init();
    }
}
