//! A node that dies without a word: everybody who comes back is told (D6).

use bellwire_testkit::{
    http::Request,
    raw::{Transport, Wish},
};
use serde_json::{Value, json};

use crate::{dev, publish, publish_numbers};

#[test]
fn everybody_who_comes_back_after_a_kill_is_told() {
    let mut server = dev();
    let channels: Vec<String> = (0..10).map(|nth| format!("room:{nth}")).collect();
    for channel in &channels {
        publish_numbers(&server, channel, 0..3);
    }
    // A third each over the transports; half stand at a message, half at their hello.
    let mut cursors = Vec::new();
    for nth in 0..90 {
        let channel = &channels[nth % 10];
        let transport = Transport::ALL[nth % 3];
        let wish = Wish::to([channel]);
        let wish = if nth % 2 == 0 {
            wish.from("earliest")
        } else {
            wish
        };
        let mut stream = transport.open(server.address(), &wish);
        stream.hello();
        if nth % 2 == 0 {
            stream.data(2);
        }
        cursors.push((nth, channel.clone(), stream.cursor()));
    }
    server.restart();
    // Some channels have been published to since, the others have not.
    for channel in &channels[..5] {
        publish_numbers(&server, channel, 10..12);
    }
    let mut told = 0;
    for (nth, channel, cursor) in &cursors {
        // On another transport than before.
        let transport = Transport::ALL[(nth + 1) % 3];
        let mut stream = transport.open(server.address(), &Wish::to([channel]).from(cursor));
        stream.hello();
        if nth % 10 >= 5 && transport == Transport::Poll {
            // A gap alone ends a hold.
            let deadline = std::time::Instant::now() + bellwire_testkit::wait::SOON;
            assert!(
                stream
                    .next(deadline)
                    .is_ok_and(|item| is_epoch_changed(&item))
            );
            told += 1;
            continue;
        }
        let gap = stream.gap();
        assert_eq!(gap["reason"], "epoch_changed", "client {nth}");
        assert_eq!(gap["last"], Value::Null);
        told += 1;
        if nth % 10 < 5 {
            assert_eq!(
                stream.data(2),
                [json!(10), json!(11)],
                "from the oldest retained one"
            );
        }
    }
    assert_eq!(told, cursors.len(), "100 %");
    let metrics = Request::get("/metrics").send(server.address()).text();
    let counted = metrics
        .lines()
        .find(|line| !line.starts_with('#') && line.contains("epoch"));
    let counted = counted.unwrap_or_else(|| panic!("no metric of foreign epochs in\n{metrics}"));
    let value: f64 = counted.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(value >= 90.0, "{counted}");
}

fn is_epoch_changed(item: &bellwire_testkit::raw::Item) -> bool {
    matches!(item, bellwire_testkit::raw::Item::Gap(gap) if gap["reason"] == "epoch_changed")
}

#[test]
fn a_gap_after_a_restart_is_said_once() {
    let mut server = dev();
    let id = publish(&server, "news", &1.into());
    server.restart();
    publish(&server, "news", &2.into());
    for transport in Transport::ALL {
        let mut stream = transport.open(server.address(), &Wish::to(["news"]).from(&id));
        stream.hello();
        stream.gap();
        assert_eq!(stream.message()["data"], 2);
        let cursor = stream.cursor();
        let mut again = transport.open(server.address(), &Wish::to(["news"]).from(cursor));
        again.hello();
        again.stays_silent(std::time::Duration::from_millis(30));
    }
}
