//! One seeded run: publish, cut, resume elsewhere, lag, trim, evict, restart, drain, in any order.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bellwire_core::{
    channel::Channel,
    engine::{Draft, IdempotencyKey},
    publication::{EventName, Payload},
    shard::{Cause, Input},
};

use super::{
    bearers::user_access,
    client::Client,
    faults::Fault,
    plan::{CHANNELS, CLIENTS, client, plan, way},
    random::Random,
    way::Way,
    world::World,
};

/// Steps before everything comes to rest.
const STEPS: usize = 1_500;
/// What may be held for one connection alone (D8): one answer with the longest message, as it grew.
const OWN_BYTES: usize = 96 << 10;

/// A run under way.
pub(super) struct Run {
    pub(super) world: World,
    pub(super) clients: Vec<Client>,
    pub(super) random: Random,
    numbers: u64,
    /// Publishes with a key, for repetition: number, channel, payload.
    keyed: Vec<(u64, String, String)>,
    trace: bool,
    pub(super) step: usize,
    /// Many messages are so long that tails roll over.
    heavy: bool,
}

/// What a run has seen, so that a change that tests nothing any more is noticed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) received: usize,
    pub(crate) gaps: std::collections::BTreeMap<String, usize>,
    pub(crate) shrunk: u64,
    pub(crate) blocked: u64,
    pub(crate) pages: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.shrunk += other.shrunk;
        self.blocked += other.blocked;
        self.pages += other.pages;
        for (reason, count) in &other.gaps {
            *self.gaps.entry(reason.clone()).or_default() += count;
        }
    }
}

/// Plays a seed; an error says what was broken at which step.
pub(crate) fn play(seed: u64, fault: Option<Fault>, trace: bool) -> Result<Seen, String> {
    let mut random = Random::new(seed);
    let world = World::new(plan(&mut random, fault), seed);
    let heavy = random.one_in(4);
    let clients = (0..CLIENTS)
        .map(|n| client(n, &world, &mut random))
        .collect();
    let mut run = Run {
        world,
        clients,
        random,
        numbers: 0,
        keyed: Vec::new(),
        trace,
        step: 0,
        heavy,
    };
    if heavy {
        run.crowd();
    }
    let mut seen = Seen::default();
    // A panic is a finding like any other, and needs its seed as well.
    let played = catch_unwind(AssertUnwindSafe(|| run.play(&mut seen)));
    let outcome = played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or_default()))
    });
    outcome.map_err(|wrong| format!("step {}: {wrong}", run.step))?;
    for client in &run.clients {
        seen.received += client.book.received;
        for (reason, count) in &client.book.gaps {
            *seen.gaps.entry(reason.clone()).or_default() += count;
        }
    }
    Ok(seen)
}

impl Run {
    fn play(&mut self, seen: &mut Seen) -> Result<(), String> {
        while self.step < STEPS {
            self.step += 1;
            self.act()?;
            self.check(seen)?;
        }
        self.rest(seen)
    }

    /// Readers that never read, so that tails have to be kept for some.
    fn crowd(&mut self) {
        for n in 0..40 {
            let access = user_access("crowd", &["*"], u64::MAX - 1);
            let mut idle = Client::new("crowd", &CHANNELS[..3], access, &self.world);
            let shard = n % self.world.shards.len();
            idle.connect(&mut self.world, shard, Way::WebSocket, 40);
        }
    }

    fn act(&mut self) -> Result<(), String> {
        match self.random.below(200) {
            0..50 => self.deliver(),
            50..85 => self.flush(),
            85..135 => return self.read(),
            135..145 => self.writable(),
            145..153 => self.uplink(),
            153..177 => self.publish(),
            177..187 => self.connect(),
            187..190 => self.cut(),
            190..194 => self.command(),
            194..198 => self.pass_time(),
            198 => self.administer(),
            _ => self.world.release_late(),
        }
        Ok(())
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            let line = what();
            #[expect(clippy::print_stderr, reason = "the trace of a replay")]
            {
                eprintln!("{:4} {line}", self.step);
            }
        }
    }

    fn deliver(&mut self) {
        let busy = self.world.busy_links();
        if !busy.is_empty() {
            let link = *self.random.pick(&busy);
            self.say(|| format!("deliver {link:?}"));
            self.world.deliver(link);
        }
    }

    fn flush(&mut self) {
        let shard = self.random.below(self.world.shards.len());
        if self.world.shards[shard].has_work() {
            self.say(|| format!("flush shard {shard}"));
            self.world.flush(shard);
        }
    }

    fn read(&mut self) -> Result<(), String> {
        let n = self.random.below(CLIENTS);
        let max = *self.random.pick(&[1, 100, 4_000, 1 << 20, 1 << 20]);
        self.say(|| format!("u{n} reads {max}"));
        let read = self.clients[n].read(&mut self.world, max);
        read.map_err(|wrong| format!("u{n}: {wrong}"))
    }

    fn writable(&mut self) {
        let n = self.random.below(CLIENTS);
        let Some(link) = &self.clients[n].link else {
            return;
        };
        let connection = link.connection;
        if self.world.shards[link.shard]
            .sockets()
            .take_writable(link.socket)
        {
            self.say(|| format!("u{n} is writable"));
            self.world
                .with(link.shard, |shard, now| shard.writable(connection, now));
        }
    }

    /// Some of what a client sends arrives.
    fn uplink(&mut self) {
        let n = self.random.below(CLIENTS);
        let max = *self.random.pick(&[1, 10, 1 << 20]);
        self.send_up(n, max);
    }

    pub(super) fn send_up(&mut self, n: usize, max: usize) -> bool {
        let Some(link) = &mut self.clients[n].link else {
            return false;
        };
        if self.world.shards[link.shard]
            .sockets()
            .take_resumed(link.socket)
        {
            link.paused = false;
        }
        if link.paused || link.uplink.is_empty() {
            return false;
        }
        let count = max.min(link.uplink.len());
        let mut bytes: Vec<u8> = link.uplink.drain(..count).collect();
        let input = self.world.input(link.shard, link.connection, &mut bytes);
        link.paused = input == Input::Pause;
        self.say(|| format!("u{n} sends {count}: {input:?}"));
        true
    }

    fn publish(&mut self) {
        let shard = self.random.below(self.world.shards.len());
        if self.random.one_in(8) && !self.keyed.is_empty() {
            let (number, channel, payload) = self.random.pick(&self.keyed).clone();
            let other = self.random.one_in(3);
            self.say(|| format!("repeat {number} in {channel}, other bytes: {other}"));
            let (payload, told) = if other {
                self.numbers += 1;
                (format!("[{}]", self.numbers), self.numbers)
            } else {
                (payload, number)
            };
            let draft = self.draft(&channel, &payload, Some(number));
            self.world.publish(shard, draft, told);
            return;
        }
        let (channel, payload) = self.message();
        let number = self.numbers;
        let keyed = self.random.one_in(3);
        if keyed {
            self.keyed.push((number, channel.clone(), payload.clone()));
        }
        self.say(|| format!("publish {number} to {channel}, {} bytes", payload.len()));
        let draft = self.draft(&channel, &payload, keyed.then_some(number));
        self.world.publish(shard, draft, number);
    }

    /// A channel, and a payload with the next number.
    fn message(&mut self) -> (String, String) {
        self.numbers += 1;
        let channel = if self.random.one_in(10) {
            format!("@u{}", self.random.below(CLIENTS))
        } else {
            let among = if self.heavy { 3 } else { CHANNELS.len() };
            (*self.random.pick(&CHANNELS[..among])).to_owned()
        };
        let length = match self.random.below(20) {
            0..8 if self.heavy => self.random.within(9_000, 40_000),
            0 => self.random.within(9_000, 40_000),
            1..4 => self.random.within(100, 3_000),
            _ => self.random.below(40),
        };
        (
            channel,
            format!("[{},\"{}\"]", self.numbers, "x".repeat(length)),
        )
    }

    fn draft(&mut self, channel: &str, payload: &str, key: Option<u64>) -> Draft {
        let event = self
            .random
            .one_in(5)
            .then(|| EventName::parse("tick").expect("a valid name"));
        Draft {
            channel: Channel::parse(channel).expect("a valid name"),
            event: event.filter(|_| key.is_none()),
            user: None,
            payload: Payload::json(payload),
            idempotency: key.map(|key| IdempotencyKey {
                publisher: "user:p".into(),
                key: format!("k{key}").into(),
            }),
        }
    }

    fn connect(&mut self) {
        let n = self.random.below(CLIENTS);
        if self.clients[n].link.is_some() {
            return;
        }
        let single = self.clients[n].channels.len() == 1;
        let way = way(&mut self.random, single);
        self.connect_by(n, way);
    }

    pub(super) fn connect_by(&mut self, n: usize, way: Way) {
        let shard = self.random.below(self.world.shards.len());
        let capacity = *self.random.pick(&[40, 300, 5_000, 1 << 20]);
        let client = &mut self.clients[n];
        client.connect(&mut self.world, shard, way, capacity);
        self.say(|| {
            let client = &self.clients[n];
            format!(
                "u{n} connects to {shard} by {way:?} for {:?} from {:?}",
                client.channels,
                client.cursor()
            )
        });
    }

    /// The connection breaks, mid-frame or not; the shard hears of it now, later or never.
    fn cut(&mut self) {
        let n = self.random.below(CLIENTS);
        let Some(link) = self.clients[n].link.take() else {
            return;
        };
        self.say(|| format!("u{n} is cut"));
        if link.paused || !self.random.one_in(3) {
            self.world.shards[link.shard].sockets().reset(link.socket);
        }
        if self.random.one_in(2) {
            let connection = link.connection;
            self.world
                .with(link.shard, |shard, now| shard.hang_up(connection, now));
        }
    }

    fn command(&mut self) {
        let n = self.random.below(CLIENTS);
        if !self.clients[n].takes_commands() {
            return;
        }
        let live = self.clients[n].live();
        if self.random.one_in(2) {
            let (channel, payload) = self.message();
            if !channel.starts_with('@') && payload.len() < 4_000 {
                self.say(|| format!("u{n} publishes {} to {channel}", self.numbers));
                self.clients[n].publish(&channel, &payload, self.numbers);
            }
        } else if let Some(channel) = live.first().filter(|_| self.random.one_in(2)) {
            self.say(|| format!("u{n} leaves {channel} and comes back"));
            self.clients[n].leave_and_return(channel);
        }
    }

    fn pass_time(&mut self) {
        let milliseconds = *self.random.pick(&[10, 100, 100, 600]);
        self.say(|| format!("{milliseconds} ms pass"));
        self.world.advance(milliseconds);
    }

    fn administer(&mut self) {
        let shard = self.random.below(self.world.shards.len());
        match self.random.below(6) {
            0 | 1 => {
                self.say(|| "restart".to_owned());
                self.world.restart();
                for client in &mut self.clients {
                    client.link = None;
                }
            }
            2 | 3 => {
                self.say(|| format!("drain shard {shard}"));
                self.world.with(shard, |shard, now| shard.drain(2, now));
            }
            _ => {
                self.say(|| format!("close everything on shard {shard}"));
                self.world.with(shard, |shard, now| {
                    shard.close_where(Cause::ClosedByServer, "enough", now, |_, _| true)
                });
            }
        }
    }

    pub(super) fn check(&self, seen: &mut Seen) -> Result<(), String> {
        if let Some(broken) = &self.world.ledger.borrow().broken {
            return Err(broken.clone());
        }
        if let Some(complaint) = self.world.complaints.borrow().first() {
            return Err(complaint.clone());
        }
        *seen = Seen::default();
        for shard in &self.world.shards {
            let bytes = shard.gauges().output_bytes;
            if bytes > shard.connection_count() * OWN_BYTES {
                return Err(format!("D8: {bytes} bytes are held for single connections"));
            }
            seen.shrunk += shard.stats().shrunk;
            seen.blocked += shard.stats().blocked;
            seen.pages += shard.stats().pages;
        }
        Ok(())
    }
}
