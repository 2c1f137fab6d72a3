//! The hop test: many raw clients that are cut and come back on another transport while others
//! publish, judged by the independent [checker](crate::checker). Runs against whatever answers at
//! an address; it must not know `bellwire-client` nor how the server is built.
//!
//! ```text
//!  publishers (a thread per channel, one for all inboxes) ─► server ─► clients (a thread each)
//!        │ acknowledgements                                                │ diaries
//!        └───────────────────────────► checker ◄───────────────────────────┘
//! ```

mod random;

mod http;

mod words;

mod connection;

mod cursor;

mod publisher;

mod meeting;

mod client;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering, mpsc},
    thread,
    time::{Duration, Instant},
};

use self::{
    client::Client,
    meeting::{publish_at_rate, publish_to_inboxes},
    random::Random,
};
pub use self::{
    connection::{Connection, Cut, Way, Wish},
    cursor::Position,
    meeting::Meeting,
    publisher::Publisher,
    words::Said,
};
use crate::{
    checker::{Account, Diary, Published, judge},
    wait,
};

/// How long nothing may come to clients that lack something, once publishing has ended.
const REST: Duration = Duration::from_secs(8);
/// How long the resumes may take, a machine that does other things included.
const LONGEST: Duration = Duration::from_secs(400);

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Chooses transports, times and cuts.
    pub seed: u64,
    /// The server.
    pub address: SocketAddr,
    /// Clients without an identity.
    pub anonymous: usize,
    /// User ids and tokens of the others, who also read their inbox.
    pub users: Vec<(String, String)>,
    /// What everybody reads, and publications per second in all of them together.
    pub channels: Vec<String>,
    /// See `channels`.
    pub rate: f64,
    /// How often clients come back, all together.
    pub resumes: u64,
    /// Publications that a channel keeps.
    pub history: u64,
}

/// What clients count besides what they are told.
#[derive(Clone, Copy, Debug, Default)]
struct Stats {
    resumes: u64,
    long_cuts: u64,
    mid_frame: u64,
    ended_by_server: u64,
    settled: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// The plan's seed.
    pub seed: u64,
    /// How long it took.
    pub took: Duration,
    /// Times that clients came back.
    pub resumes: u64,
    /// Cuts that outlived history.
    pub long_cuts: u64,
    /// Cuts in the middle of a frame, chunk or answer.
    pub mid_frame: u64,
    /// Connections that the server ended.
    pub ended_by_server: u64,
    /// Publications, each counted once.
    pub publications: u64,
    /// Times that the server refused a publication, which was then tried again.
    pub refused: u64,
    /// Clients for whom received + announced lost is not published.
    pub unbalanced: usize,
    /// The account of all clients.
    pub account: Account,
}

impl Report {
    /// Whether every client's account is clean.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.account.is_clean() && self.unbalanced == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} publications ({} refused) in {:.1} s, {} resumes ({} beyond history, {} cut inside of \
             a frame, {} ended by the server), {} clients unbalanced; {}",
            self.seed,
            self.publications,
            self.refused,
            self.took.as_secs_f64(),
            self.resumes,
            self.long_cuts,
            self.mid_frame,
            self.ended_by_server,
            self.unbalanced,
            self.account
        )
    }
}

/// Runs a plan. `meanwhile` may do something to the server while clients hop.
///
/// # Panics
/// When the server does not answer, or the run does not come to its end.
pub fn run(plan: &Plan, meanwhile: impl FnOnce(&Meeting)) -> Report {
    let started = Instant::now();
    let (pushes, pushed) = mpsc::channel();
    let meeting = &Meeting::new(plan, pushes);
    thread::scope(|scope| {
        let gap = Duration::from_secs(1).div_f64(plan.rate / plan.channels.len() as f64);
        let mut publishers: Vec<_> = plan
            .channels
            .iter()
            .map(|channel| scope.spawn(move || publish_at_rate(meeting, channel, gap)))
            .collect();
        publishers.push(scope.spawn(move || publish_to_inboxes(meeting, &pushed)));
        let clients: Vec<_> = (0..plan.anonymous + plan.users.len())
            .map(|nth| {
                let client = client(plan, meeting, nth);
                scope.spawn(move || client.run())
            })
            .collect();
        meanwhile(meeting);
        let all = clients.len();
        wait::within(LONGEST, "the last connection of every client", || {
            (meeting.settled() == all).then_some(())
        });
        meeting.end_publishing();
        let mut published = Published::default();
        for publisher in publishers {
            published.merge(publisher.join().expect("publishing does not fail"));
        }
        let published = Arc::new(published);
        meeting.announce_finals(&published);
        let (mut heard, mut since) = (meeting.heard(), Instant::now());
        while since.elapsed() < REST && !clients.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(5));
            let by_now = meeting.heard();
            if by_now > heard {
                (heard, since) = (by_now, Instant::now());
            }
        }
        meeting.end();
        let diaries: Vec<_> = clients
            .into_iter()
            .map(|client| client.join().expect("clients do not panic"))
            .collect();
        let mut report = report(plan, started, &published, &diaries);
        report.refused = meeting.refused.load(Ordering::Acquire);
        report
    })
}

fn client<'a>(plan: &Plan, meeting: &'a Meeting, nth: usize) -> Client<'a> {
    let user = plan.users.get(nth);
    let mut asked = plan.channels.clone();
    let mut channels = plan.channels.clone();
    if let Some((user, _)) = user {
        asked.push("@me".to_owned());
        channels.push(format!("@{user}"));
    }
    Client {
        meeting,
        wish: Wish {
            address: plan.address,
            channels: asked,
            token: user.map(|(_, token)| token.clone()),
        },
        diary: Diary::new(&channels),
        channels,
        random: Random::new(plan.seed, nth as u64 + 1),
        position: Position::default(),
        stats: Stats::default(),
        visits: nth as u64,
    }
}

fn report(
    plan: &Plan,
    started: Instant,
    published: &Published,
    diaries: &[(Diary, Stats)],
) -> Report {
    let mut report = Report {
        seed: plan.seed,
        took: started.elapsed(),
        resumes: 0,
        long_cuts: 0,
        mid_frame: 0,
        ended_by_server: 0,
        publications: published.total(),
        refused: 0,
        unbalanced: 0,
        account: Account::default(),
    };
    for (diary, stats) in diaries {
        let account = judge(diary, published, plan.history);
        report.unbalanced += usize::from(account.received + account.lost != account.published);
        report.account += account;
        report.resumes += stats.resumes;
        report.long_cuts += stats.long_cuts;
        report.mid_frame += stats.mid_frame;
        report.ended_by_server += stats.ended_by_server;
    }
    report
}
