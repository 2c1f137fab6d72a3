//! The hop test: raw clients that are cut and come back on another transport, thousands of times,
//! judged by the testkit's independent checker. First against the binary; then, shorter, against
//! nodes in this process with mistakes planted into them, which the checker must show.

use std::{env, net::SocketAddr, time::Duration};

use bellwire_core::shard::PlantedFault;
use bellwire_server::{
    Node,
    config::{Layers, load},
    planted::Planted,
};
use bellwire_testkit::{
    credentials::{jwt_key, token},
    hop::{Meeting, Plan, Report, run},
    wait,
};
use serde_json::json;

use super::{dev_with, say};

/// How long as many publications may take again as came before, where those took long already.
const MANY: Duration = Duration::from_secs(200);

/// The seed of all runs; another is taken from `BELLWIRE_HOP_SEED`.
const SEED: u64 = 20_251_122;

fn from_env(name: &str, default: u64) -> u64 {
    let given = env::var(name).ok();
    given.map_or(default, |text| text.parse().expect("a whole number"))
}

fn plan(address: SocketAddr, clients: usize, resumes: u64) -> Plan {
    let rights = json!({"subscribe": ["hop:*"]});
    let user = |nth| {
        let user = format!("user-{nth}");
        let token = token(&user, &rights);
        (user, token)
    };
    Plan {
        seed: from_env("BELLWIRE_HOP_SEED", SEED),
        address,
        anonymous: clients - clients / 2,
        users: (0..clients / 2).map(user).collect(),
        channels: ["hop:a", "hop:b", "hop:c"].map(str::to_owned).to_vec(),
        rate: 500.0,
        resumes,
        history: 100,
    }
}

fn tell(name: &str, report: &Report) {
    say(&format!("hop, {name}: {report}"));
    for finding in &report.account.findings {
        say(&format!("  {finding}"));
    }
}

#[test]
fn clients_that_hop_between_transports_miss_nothing_that_was_not_announced() {
    let _turn = crate::heavy();
    let resumes = from_env("BELLWIRE_HOP_RESUMES", 2_000);
    let server = dev_with(&["--jwt-key", &jwt_key()]);
    let report = run(&plan(server.address(), 50, resumes), |_| {});
    tell("the binary", &report);
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.resumes, resumes);
    assert!(report.long_cuts * 20 > resumes, "{report}");
    assert!(report.account.gaps.contains_key("retention"), "{report}");
    // A machine that is too slow for the rate makes readers fall behind and publishers wait; both
    // are told, and nothing else may happen.
    let told = ["retention", "slow_consumer"];
    let reasons = report.account.gaps.keys();
    assert!(
        reasons.into_iter().all(|reason| told.contains(&&**reason)),
        "{report}"
    );
    assert_eq!(report.ended_by_server, 0, "{report}");
}

/// A node in this process, by the configuration of the binary's test.
pub(crate) fn node(address: &str, planted: Planted) -> Node {
    let flag = |layers: Layers, (name, value): (&str, String)| layers.with_flag(name, vec![value]);
    let layers = [
        ("listen", address.to_owned()),
        ("dev", "true".to_owned()),
        ("shards", "2".to_owned()),
        ("jwt-key", jwt_key()),
    ];
    let layers = layers.into_iter().fold(Layers::default(), flag);
    let config = load(&layers).expect("the configuration holds").config;
    Node::start_planted(config, planted).expect("the node starts")
}

/// A short run against a node with mistakes, or none.
fn short_run(name: &str, planted: Planted) -> Report {
    let node = node("127.0.0.1:0", planted);
    let report = run(&plan(node.address(), 20, 150), |_| {});
    node.stop().expect("the node ends in order");
    tell(name, &report);
    report
}

/// A short run during which the node is started anew while every client is away.
fn run_with_restart(name: &str, planted: Planted) -> Report {
    let first = node("127.0.0.1:0", planted);
    let address = first.address();
    let mut second = None;
    let plan = plan(address, 20, 200);
    let channels = plan.channels.clone();
    let report = run(&plan, |meeting: &Meeting| {
        meeting.await_resumes_left(150);
        meeting.call_away();
        meeting.pause();
        let before: Vec<u64> = channels.iter().map(|name| meeting.sent(name)).collect();
        first.stop().expect("the node ends in order");
        second = Some(node(&address.to_string(), planted));
        meeting.go_on(address);
        // As many again and a few more, so that a cursor of before looks as if it were good.
        wait::within(MANY, "publications after the restart", || {
            let mut pairs = channels.iter().zip(&before);
            let are_there = pairs.all(|(name, before)| meeting.sent(name) > 2 * before + 40);
            are_there.then_some(())
        });
        meeting.call_back(address);
    });
    if let Some(second) = second {
        second.stop().expect("the node ends in order");
    }
    tell(name, &report);
    report
}

#[test]
fn a_node_without_mistakes_has_a_clean_account() {
    let _turn = crate::heavy();
    let report = short_run("no mistake", Planted::default());
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_skipped_catch_up_is_seen_as_silent_loss() {
    let _turn = crate::heavy();
    let planted = Planted {
        fault: Some(PlantedFault::SkipCatchUp),
        ..Planted::default()
    };
    let report = short_run("catch-up skipped", planted);
    assert!(report.account.unannounced > 0, "{report}");
}

#[test]
fn interest_registered_after_the_head_was_read_is_seen_as_silent_loss() {
    let _turn = crate::heavy();
    let planted = Planted {
        late_interest: true,
        ..Planted::default()
    };
    let report = short_run("late interest", planted);
    assert!(report.account.unannounced > 0, "{report}");
}

#[test]
fn a_restart_is_announced_to_every_client_that_comes_back() {
    let _turn = crate::heavy();
    let report = run_with_restart("restart", Planted::default());
    assert!(report.is_clean(), "{report}");
    let announced = report.account.gaps.get("epoch_changed");
    assert!(announced.is_some_and(|gaps| *gaps >= 60), "{report}");
}

#[test]
fn an_epoch_used_again_is_seen_as_silent_loss() {
    let _turn = crate::heavy();
    let planted = Planted {
        epoch: Some(7),
        ..Planted::default()
    };
    let report = run_with_restart("epoch used again", planted);
    assert!(report.account.unannounced > 0, "{report}");
}
