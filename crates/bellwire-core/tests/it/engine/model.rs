//! The engine against a naive model that keeps every publication for ever.
//!
//! Proves: no cursor ever gets silence for a loss, no gap is false before a tombstone was pushed
//! out, offsets increase over a partition, the `prev` chain is consistent.

use std::{collections::BTreeMap, sync::LazyLock};

use proptest::{collection::vec, prelude::*};

use super::*;

const SHARDS: usize = 3;
const MAX_CHANNELS: usize = 3;
const MAX_BYTES: usize = 3_000;

/// Of one partition, each with the retention of its prefix.
static CHANNELS: LazyLock<Vec<Channel>> = LazyLock::new(|| {
    let prefixes = ["count:", "bytes:", "age:", "none:", "all:"];
    (0..9)
        .map(|n| sibling(prefixes[n % prefixes.len()], n))
        .collect()
});

#[derive(Clone, Debug)]
enum Step {
    Publish {
        channel: usize,
        shard: ShardId,
        weight: usize,
    },
    Attach {
        channel: usize,
        shard: ShardId,
        cursor: usize,
    },
    Resume {
        channel: usize,
        shard: ShardId,
        cursor: usize,
    },
    Detach {
        channel: usize,
        shard: ShardId,
    },
    Read {
        channel: usize,
        max_bytes: usize,
    },
    Advance(u64),
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    let (channel, shard, cursor) = (0..9_usize, 0..SHARDS, 0..64_usize);
    prop_oneof![
        6 => (channel.clone(), shard.clone(), 0..120_usize)
            .prop_map(|(channel, shard, weight)| Step::Publish { channel, shard, weight }),
        2 => (channel.clone(), shard.clone(), 0..3_usize)
            .prop_map(|(channel, shard, cursor)| Step::Attach { channel, shard, cursor }),
        5 => (channel.clone(), shard.clone(), cursor)
            .prop_map(|(channel, shard, cursor)| Step::Resume { channel, shard, cursor }),
        1 => (channel.clone(), shard).prop_map(|(channel, shard)| Step::Detach { channel, shard }),
        3 => (channel, 0..400_usize)
            .prop_map(|(channel, max_bytes)| Step::Read { channel, max_bytes }),
        1 => (0..700_u64).prop_map(Step::Advance),
        1 => Just(Step::Tick),
    ]
}

/// A publication as the model remembers it.
#[derive(Clone, Copy, Debug)]
struct Past {
    offset: u64,
    weight: usize,
    time: u64,
}

#[derive(Debug)]
struct ModelChannel {
    channel: Channel,
    retention: Retention,
    all: Vec<Past>,
    /// How many of `all` are lost.
    lost: usize,
    /// Every offset that some client may hold as its cursor.
    cursors: Vec<u64>,
    /// By shard: up to where it has heard everything.
    heard: BTreeMap<ShardId, u64>,
}

impl ModelChannel {
    fn retained(&self) -> Vec<u64> {
        self.all[self.lost..]
            .iter()
            .map(|past| past.offset)
            .collect()
    }

    fn has_lost_after(&self, cursor: u64) -> bool {
        self.all[..self.lost]
            .iter()
            .any(|past| past.offset > cursor)
    }
}

#[derive(Debug)]
struct Model {
    node: Node,
    channels: Vec<ModelChannel>,
    /// Channels with a log, by last publication.
    live: Vec<usize>,
    dropped: Vec<usize>,
    /// From here on gaps may be false.
    pushed_out: bool,
    counter: u64,
    /// How many arrivals of each shard were looked at.
    seen: [usize; SHARDS],
}

impl Model {
    fn new(n_channels: usize) -> Self {
        let all = Retention {
            count: 1_000,
            bytes: 1 << 20,
            age_ms: 1 << 40,
        };
        let rules = vec![
            ("count:*", Retention { count: 3, ..all }),
            ("bytes:*", Retention { bytes: 200, ..all }),
            ("age:*", Retention { age_ms: 500, ..all }),
            ("none:*", Retention { count: 0, ..all }),
            ("all:*", all),
        ];
        let retentions: Vec<_> = rules.iter().map(|rule| rule.1).collect();
        let settings = Settings {
            shards: SHARDS,
            rules,
            max_channels: MAX_CHANNELS,
            max_history_bytes: MAX_BYTES,
            ..Settings::default()
        };
        let model_channel = |n: usize| ModelChannel {
            channel: CHANNELS[n].clone(),
            retention: retentions[n % retentions.len()],
            all: Vec::new(),
            lost: 0,
            cursors: vec![0],
            heard: BTreeMap::new(),
        };
        Self {
            node: settings.node(),
            channels: (0..n_channels).map(model_channel).collect(),
            live: Vec::new(),
            dropped: Vec::new(),
            pushed_out: false,
            counter: 0,
            seen: [0; SHARDS],
        }
    }

    fn apply(&mut self, step: Step) {
        let n_channels = self.channels.len();
        let wrap = |channel: usize| channel % n_channels;
        match step {
            Step::Publish {
                channel,
                shard,
                weight,
            } => {
                self.publish(wrap(channel), shard, weight.max(1));
            }
            Step::Attach {
                channel,
                shard,
                cursor,
            } => {
                let start = [Start::Latest, Start::Earliest, Start::Unknown][cursor];
                self.attach(wrap(channel), shard, start, None);
            }
            Step::Resume {
                channel,
                shard,
                cursor,
            } => {
                let of = &self.channels[wrap(channel)];
                let cursor = of.cursors[cursor % of.cursors.len()];
                let start = after(&of.channel, cursor);
                self.attach(wrap(channel), shard, start, Some(cursor));
            }
            Step::Detach { channel, shard } => {
                let of = &mut self.channels[wrap(channel)];
                of.heard.remove(&shard);
                self.node.detach(shard, &of.channel.clone());
            }
            Step::Read { channel, max_bytes } => self.read(wrap(channel), max_bytes),
            Step::Advance(milliseconds) => self.node.advance(milliseconds),
            Step::Tick => {
                self.node.tick();
                (0..self.channels.len()).for_each(|n| self.trim(n));
            }
        }
        self.hear();
    }

    fn publish(&mut self, n: usize, shard: ShardId, weight: usize) {
        let channel = self.channels[n].channel.clone();
        let published = self
            .node
            .try_publish(shard, draft(&channel, &"1".repeat(weight)));
        let offset = published.expect("nothing refuses it").position.offset;
        assert_eq!(offset, self.counter + 1);
        self.counter = offset;
        self.dropped.retain(|&dropped| dropped != n);
        self.live.retain(|&live| live != n);
        self.live.push(n);
        let of = &mut self.channels[n];
        of.all.push(Past {
            offset,
            weight,
            time: self.node.now.wall,
        });
        of.cursors.push(offset);
        self.trim(n);
        self.make_room(n);
    }

    fn trim(&mut self, n: usize) {
        let of = &mut self.channels[n];
        while let Some(oldest) = of.all.get(of.lost) {
            let kept = &of.all[of.lost..];
            let aged = self.node.now.wall - oldest.time >= of.retention.age_ms;
            let weight: usize = kept.iter().map(|past| past.weight).sum();
            if !aged && kept.len() <= of.retention.count && weight <= of.retention.bytes {
                break;
            }
            of.lost += 1;
        }
        self.drop_if_empty(n);
    }

    fn make_room(&mut self, appended: usize) {
        let cost = |of: &ModelChannel| -> usize {
            of.all[of.lost..].iter().map(|past| past.weight + 160).sum()
        };
        while self.live.len() > MAX_CHANNELS
            || self.channels.iter().map(cost).sum::<usize>() > MAX_BYTES
        {
            let oldest = self.live[0];
            let of = &mut self.channels[oldest];
            of.lost = if oldest == appended {
                of.lost + 1
            } else {
                of.all.len()
            };
            self.drop_if_empty(oldest);
        }
    }

    fn drop_if_empty(&mut self, n: usize) {
        if self.live.contains(&n) && self.channels[n].lost == self.channels[n].all.len() {
            self.live.retain(|&live| live != n);
            self.dropped.push(n);
            self.pushed_out |= self.dropped.len() > MAX_CHANNELS;
        }
    }

    fn attach(&mut self, n: usize, shard: ShardId, start: Start, cursor: Option<u64>) {
        self.trim(n);
        let attached = self
            .node
            .attach(shard, &self.channels[n].channel.clone(), start);
        let of = &mut self.channels[n];
        let retained = of.retained();
        let newest = retained.last().copied().unwrap_or(self.counter);
        assert_eq!(attached.head, newest);
        assert!(attached.start <= attached.head);
        if let Some(cursor) = cursor {
            let lost = of.has_lost_after(cursor);
            assert!(
                !lost || attached.gap.is_some(),
                "silence for a loss after {cursor}"
            );
            assert!(
                lost || attached.gap.is_none() || self.pushed_out,
                "a false gap at {cursor}"
            );
            assert_eq!(attached.asked, Some(cursor));
        }
        if let Some(gap) = attached.gap {
            let following = retained.iter().find(|&&offset| offset > gap.resume);
            assert_eq!((gap.resume, gap.next), (attached.start, following.copied()));
        }
        // What follows the start is all there; from the start of a gap everything retained is,
        // except for one that leads to the newest.
        let follows = retained
            .iter()
            .filter(|&&offset| offset > attached.start)
            .count();
        match start {
            Start::Latest | Start::Unknown => assert_eq!(follows, 0),
            Start::Earliest => assert_eq!(follows, retained.len()),
            Start::After(_) if attached.gap.is_some() => assert_eq!(follows, retained.len()),
            Start::After(_) => assert!(!of.has_lost_after(attached.start)),
        }
        of.cursors.extend([attached.start, attached.head]);
        let heard = of.heard.entry(shard).or_default();
        *heard = attached.head.max(*heard);
    }

    fn read(&mut self, n: usize, max_bytes: usize) {
        self.trim(n);
        let channel = self.channels[n].channel.clone();
        let of = &self.channels[n];
        for cursor in of.cursors.clone() {
            let page = self.node.read(&channel, cursor, max_bytes);
            let retained = self.channels[n].retained();
            assert_eq!(page.oldest, retained.first().copied());
            let lost = self.channels[n].has_lost_after(cursor);
            assert!(
                !lost || cursor < page.trimmed,
                "a reader at {cursor} was not told"
            );
            assert!(
                lost || cursor >= page.trimmed || self.pushed_out,
                "a false gap at {cursor}"
            );
            let expected: Vec<_> = retained
                .iter()
                .filter(|&&offset| page.start < offset && offset <= page.end)
                .copied()
                .collect();
            assert_eq!(offsets(&page.publications), expected);
            let next = retained
                .iter()
                .find(|&&offset| offset > cursor.max(page.trimmed));
            assert!(
                next.is_none_or(|next| expected.contains(next)),
                "a page without progress"
            );
            for pair in page.publications.windows(2) {
                assert_eq!(pair[1].prev, pair[0].position.offset);
            }
            if let Some(first) = page.publications.first() {
                assert!(page.trimmed <= first.prev && first.prev < first.position.offset);
            }
            self.channels[n].cursors.push(page.end);
            self.channels[n].cursors.truncate(200);
        }
    }

    /// Checks the chain that every shard was told of since the last step.
    fn hear(&mut self) {
        for shard in 0..SHARDS {
            for arrival in &self.node.arrivals[shard][self.seen[shard]..] {
                let Arrival::Announce(announcement) = arrival else {
                    continue;
                };
                let heard = |of: &&mut ModelChannel| of.channel == announcement.channel;
                let of = self
                    .channels
                    .iter_mut()
                    .find(heard)
                    .expect("a channel of the model");
                let heard = of
                    .heard
                    .get_mut(&shard)
                    .expect("only where there is interest");
                assert!(announcement.prev <= *heard, "a hole that is none");
                assert!(
                    announcement.offset > *heard,
                    "not after the head that was given"
                );
                *heard = announcement.offset;
            }
            self.seen[shard] = self.node.arrivals[shard].len();
        }
        for of in &self.channels {
            let newest = of.all.last().map_or(0, |past| past.offset);
            assert!(
                of.heard.values().all(|&heard| heard >= newest),
                "a shard was not told"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn d5_d6_d7_no_loss_is_silent_and_no_gap_is_false(
        n_channels in 5..9_usize,
        steps in vec(step(), 1..150),
    ) {
        let mut model = Model::new(n_channels);
        for step in steps {
            model.apply(step);
        }
    }
}
