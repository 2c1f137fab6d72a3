//! One hopping client: connects on one transport, reads for a while, is cut, stays away, and comes
//! back on the next transport with what it was told. Everything it is told goes into its diary.

use std::{
    io,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use super::{
    Meeting, Stats,
    connection::{Connection, Cut, Way, Wish},
    cursor::Position,
    random::Random,
    words::Said,
};
use crate::checker::Diary;

/// Most cuts last at most this long.
const SHORT: Duration = Duration::from_millis(200);
/// How long a client stays at most before it is cut.
const STAY: Duration = Duration::from_millis(3_000);
/// How often a client that waits looks whether the run is over.
const LOOK: Duration = Duration::from_millis(20);
/// Publications that a long cut outlives beyond what a channel keeps.
const BEYOND: u64 = 20;

/// See the module.
pub(super) struct Client<'a> {
    pub(super) meeting: &'a Meeting,
    pub(super) wish: Wish,
    /// The resolved names of the channels that everybody reads, then the inbox if there is one.
    pub(super) channels: Vec<String>,
    pub(super) random: Random,
    pub(super) diary: Diary,
    pub(super) position: Position,
    pub(super) stats: Stats,
    /// Visits so far, which choose the transport.
    pub(super) visits: u64,
}

/// Until when a client stays.
#[derive(Clone, Copy, Debug)]
enum Stay {
    Until(Instant),
    /// Until it has everything, at the end of the run.
    UntilComplete,
}

impl Client<'_> {
    /// Hops until nobody has resumes left, then stays until everything has come.
    pub(super) fn run(mut self) -> (Diary, Stats) {
        while self.meeting.take_resume() {
            // One visit in eight is cut before there is an answer.
            let stay = match self.random.below(8) {
                0 => self.random.time(Duration::from_millis(5)),
                _ => self.random.time(STAY),
            };
            self.visit(Stay::Until(Instant::now() + stay));
            self.stats.resumes += 1;
            self.away();
        }
        while !self.is_complete() && !self.meeting.is_over() {
            self.visit(Stay::UntilComplete);
            self.meeting.wait_while_called_away();
        }
        (self.diary, self.stats)
    }

    /// A connection from its request to its cut.
    fn visit(&mut self, stay: Stay) {
        let way = match self.visits % 3 {
            0 => Way::WebSocket,
            1 if self.random.below(2) == 0 => Way::Sse,
            1 => Way::SseOwnIds,
            _ => Way::Poll,
        };
        self.visits += 1;
        self.wish.address = self.meeting.address();
        let cursor = self.position.text();
        let mut connection = Connection::open(&self.wish, way, &cursor).expect("the server is up");
        if way == Way::Poll {
            self.greeted(stay);
        }
        loop {
            let patience = match stay {
                _ if self.meeting.calls_away.load(Ordering::Acquire) => break,
                Stay::Until(end) => end.saturating_duration_since(Instant::now()).min(LOOK),
                Stay::UntilComplete if self.is_complete() || self.meeting.is_over() => break,
                Stay::UntilComplete => LOOK,
            };
            if patience.is_zero() {
                break;
            }
            if !self.read(&mut connection, usize::MAX, patience, stay) {
                return;
            }
        }
        let how = match self.random.below(3) {
            0 => Cut::Reset,
            1 => Cut::Fin,
            _ => Cut::MidFrame,
        };
        if how == Cut::MidFrame && !self.read_into_a_frame(&mut connection, stay) {
            return;
        }
        self.stats.mid_frame += u64::from(connection.is_mid_frame());
        connection.cut(how);
    }

    /// Reads by the spoonful until something has come in part; gives up where nothing comes.
    fn read_into_a_frame(&mut self, connection: &mut Connection, stay: Stay) -> bool {
        let patience = Duration::from_millis(15);
        let end = Instant::now() + patience;
        while !connection.is_mid_frame() && Instant::now() < end {
            let spoon = 1 + usize::try_from(self.random.below(24)).expect("small");
            if !self.read(connection, spoon, patience, stay) {
                return false;
            }
        }
        true
    }

    /// Reads once and notes what was said. Returns whether the connection goes on.
    fn read(
        &mut self,
        connection: &mut Connection,
        max: usize,
        patience: Duration,
        stay: Stay,
    ) -> bool {
        match connection.read(max, patience) {
            Ok(Some(said)) => {
                let mut goes_on = true;
                for said in said {
                    goes_on &= self.hear(said, connection, stay).is_ok();
                }
                goes_on
            }
            Ok(None) => {
                self.stats.ended_by_server += 1;
                false
            }
            Err(what) => {
                self.diary.malformed(what);
                false
            }
        }
    }

    fn hear(&mut self, said: Said, connection: &mut Connection, stay: Stay) -> io::Result<()> {
        match said {
            Said::Hello(cursor) => {
                self.told(&cursor);
                self.greeted(stay);
            }
            Said::Cursor(cursor) => self.told(&cursor),
            Said::Message {
                channel,
                id,
                number,
            } => {
                self.meeting.note_heard();
                self.diary.message(&channel, &id, number);
            }
            Said::Gap(gap) => {
                let meeting = self.meeting;
                meeting.note_heard();
                self.diary.gap(&gap, |channel| meeting.sent(channel));
            }
            Said::Answered => connection.ask(&self.wish, &self.position.text())?,
            Said::Ping(payload) => connection.pong(&payload)?,
            Said::Bye(_) => self.stats.ended_by_server += 1,
            Said::Denied(channel) => self.diary.malformed(format!("{channel} was denied")),
        }
        Ok(())
    }

    fn told(&mut self, cursor: &str) {
        let meeting = self.meeting;
        self.diary.cursor(cursor, |channel| meeting.sent(channel));
        self.position.absorb(cursor);
    }

    /// The connection stands, or is about to: the moment in which a race with a publication to the
    /// inbox would show.
    fn greeted(&mut self, stay: Stay) {
        self.push_to_inbox();
        if let Stay::UntilComplete = stay
            && !std::mem::replace(&mut self.stats.settled, true)
        {
            self.meeting.settled.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn push_to_inbox(&self) {
        if let Some(inbox) = self.channels.get(self.meeting.shared.len()) {
            self.meeting.push(inbox);
        }
    }

    /// The time between a cut and the next connection: mostly short, one in ten longer than
    /// history reaches back.
    fn away(&mut self) {
        self.push_to_inbox();
        if self.random.below(10) == 0 && self.meeting.is_publishing() {
            self.stats.long_cuts += 1;
            let enough = self.meeting.history + BEYOND + self.random.below(100);
            let shared = self.meeting.shared.iter();
            let at_cut: Vec<u64> = shared.clone().map(|name| self.meeting.sent(name)).collect();
            let far = || {
                let mut pairs = shared.clone().zip(&at_cut);
                pairs.all(|(name, at)| self.meeting.sent(name) >= at + enough)
            };
            while !far() && self.meeting.is_publishing() {
                thread::sleep(LOOK);
            }
        } else {
            thread::sleep(self.random.time(SHORT));
        }
        self.meeting.wait_while_called_away();
    }

    /// Whether everything that was ever published has come or was passed by.
    fn is_complete(&self) -> bool {
        let Some(finals) = self.meeting.finals.get() else {
            return false;
        };
        let mut channels = self.channels.iter();
        channels.all(|channel| self.diary.last(channel) == finals.count(channel))
    }
}
