//! The independent checker of delivery: holds what a client was told, over all of its connections,
//! against what publishers had acknowledged. It knows the delivery contract and reads ids by their
//! documented format only; it must not share code with the server, nor know how anyone connects.
//!
//! Accounts are kept by the sequence number inside of each payload, so a mistake in ids can't hide
//! a loss. Ids serve to place what has no payload: starts and gaps.

use std::{collections::BTreeMap, fmt, ops::AddAssign};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Sentences kept of what is wrong; the counts go on.
const MAX_FINDINGS: usize = 10;

/// A decoded id: the epoch part and the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    tag: [u8; 4],
    offset: u64,
}

impl Place {
    /// Whether it stands for "position unknown".
    #[must_use]
    pub fn is_null(self) -> bool {
        self.tag == [0; 4]
    }
}

/// Reads an id: the channel part and the place.
#[must_use]
pub fn read_id(text: &str) -> Option<([u8; 8], Place)> {
    let raw = URL_SAFE_NO_PAD.decode(text.strip_prefix('1')?).ok()?;
    let (mark, rest) = raw.split_first_chunk::<8>()?;
    let (tag, varint) = rest.split_first_chunk::<4>()?;
    let (last, _) = varint.split_last()?;
    if varint.len() > 9 || last & 0x80 != 0 {
        return None;
    }
    let digits = varint.iter().enumerate();
    let offset = digits.fold(0, |sum, (nth, byte)| {
        sum | u64::from(byte & 0x7f) << (7 * nth)
    });
    Some((*mark, Place { tag: *tag, offset }))
}

/// The channel part of a channel's ids.
#[must_use]
pub fn channel_mark(channel: &str) -> [u8; 8] {
    let digest = Sha256::digest(channel.as_bytes());
    *digest.first_chunk().expect("SHA-256 has 32 bytes")
}

/// Everything that was acknowledged. Publications of a channel are numbered from 1, by one
/// publisher that waits for each acknowledgement.
#[derive(Debug, Default)]
pub struct Published {
    channels: BTreeMap<String, Vec<Place>>,
}

impl Published {
    /// Notes the acknowledgement of the next publication of a channel.
    ///
    /// # Panics
    /// When the id is none of the channel's.
    pub fn acknowledged(&mut self, channel: &str, id: &str) {
        let read = read_id(id).filter(|(mark, _)| *mark == channel_mark(channel));
        let (_, place) = read.unwrap_or_else(|| panic!("{id:?} is no id of {channel}"));
        let places = self.channels.entry(channel.to_owned()).or_default();
        places.push(place);
    }

    /// Adds what other publishers did to other channels.
    pub fn merge(&mut self, other: Self) {
        self.channels.extend(other.channels);
    }

    /// The number of the newest publication of a channel.
    #[must_use]
    pub fn count(&self, channel: &str) -> u64 {
        self.places(channel).len() as u64
    }

    /// All publications.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.channels
            .values()
            .map(|places| places.len() as u64)
            .sum()
    }

    fn places(&self, channel: &str) -> &[Place] {
        self.channels.get(channel).map_or(&[], Vec::as_slice)
    }

    /// The number of the last publication at or before a place, of those numbered up to `sent`.
    fn number_at(&self, channel: &str, place: Place, sent: u64) -> u64 {
        let places = self.places(channel);
        let sent = usize::try_from(sent).unwrap_or(usize::MAX);
        let known = &places[..sent.min(places.len())];
        let here = |at: &Place| at.tag == place.tag && at.offset <= place.offset;
        let number = match known.iter().rposition(here) {
            Some(before) => before + 1,
            // Before the first of its epoch, or in an epoch without publications so far.
            None => {
                let first = known.iter().position(|at| at.tag == place.tag);
                first.unwrap_or(known.len())
            }
        };
        number as u64
    }
}

/// A `gap` as it comes on the wire.
#[derive(Clone, Debug, Deserialize)]
pub struct GapWord {
    /// Whose loss.
    pub channel: String,
    /// Why.
    pub reason: String,
    /// The last id the client has.
    pub last: Option<String>,
    /// Where delivery continues.
    pub cursor: String,
}

/// Something a client was told of one channel.
#[derive(Clone, Copy, Debug)]
enum Heard {
    /// Its first position.
    Started { at: Place, sent: u64 },
    /// A null id: a gap has to follow.
    Unknown,
    /// A publication.
    Message { at: Place, number: u64 },
    /// An announced loss.
    Gap {
        reason: Reason,
        last: Option<Place>,
        resume: Place,
        sent: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// History no longer reaches back.
    TooOld,
    EpochChanged,
    PositionUnknown,
    Other,
}

/// What one client was told of one channel, in order.
#[derive(Debug)]
struct Page {
    channel: String,
    mark: [u8; 8],
    heard: Vec<Heard>,
    started: bool,
    last: u64,
}

/// What one client was told, over all of its connections.
#[derive(Debug, Default)]
pub struct Diary {
    pages: Vec<Page>,
    malformed: Vec<String>,
    reasons: BTreeMap<String, u64>,
}

impl Diary {
    /// A client of some channels, by their resolved names.
    #[must_use]
    pub fn new(channels: &[String]) -> Self {
        let page = |channel: &String| Page {
            channel: channel.clone(),
            mark: channel_mark(channel),
            heard: Vec::new(),
            started: false,
            last: 0,
        };
        Self {
            pages: channels.iter().map(page).collect(),
            ..Self::default()
        }
    }

    /// A cursor that the server gave: the first one is where the client begins. `sent` tells the
    /// number of the newest publication of a channel that may exist by now.
    pub fn cursor(&mut self, cursor: &str, sent: impl Fn(&str) -> u64) {
        for segment in cursor.split('.').filter(|segment| !segment.is_empty()) {
            let read = read_id(segment);
            let page = read.and_then(|(mark, at)| {
                let page = self.pages.iter_mut().find(|page| page.mark == mark)?;
                Some((page, at))
            });
            let Some((page, at)) = page else {
                self.malformed
                    .push(format!("{segment:?} in a cursor is of no channel"));
                continue;
            };
            if at.is_null() {
                page.heard.push(Heard::Unknown);
            } else if !page.started {
                let sent = sent(&page.channel);
                page.heard.push(Heard::Started { at, sent });
                page.started = true;
            }
        }
    }

    /// A publication came.
    pub fn message(&mut self, channel: &str, id: &str, number: u64) {
        let Some((page, at)) = self.placed(channel, id) else {
            return;
        };
        page.heard.push(Heard::Message { at, number });
        page.last = number;
    }

    /// A loss was announced.
    pub fn gap(&mut self, gap: &GapWord, sent: impl Fn(&str) -> u64) {
        *self.reasons.entry(gap.reason.clone()).or_default() += 1;
        let reason = match gap.reason.as_str() {
            "retention" | "slow_consumer" => Reason::TooOld,
            "epoch_changed" => Reason::EpochChanged,
            "position_unknown" => Reason::PositionUnknown,
            _ => Reason::Other,
        };
        let last = match &gap.last {
            None => None,
            Some(id) => match self.placed(&gap.channel, id) {
                Some((_, last)) => Some(last),
                None => return,
            },
        };
        let sent = sent(&gap.channel);
        let Some((page, resume)) = self.placed(&gap.channel, &gap.cursor) else {
            return;
        };
        page.heard.push(Heard::Gap {
            reason,
            last,
            resume,
            sent,
        });
    }

    /// What makes no sense by the rules of the wire.
    pub fn malformed(&mut self, what: String) {
        self.malformed.push(what);
    }

    /// The number of the last publication that came of a channel.
    #[must_use]
    pub fn last(&self, channel: &str) -> u64 {
        let page = self.pages.iter().find(|page| page.channel == channel);
        page.map_or(0, |page| page.last)
    }

    fn placed(&mut self, channel: &str, id: &str) -> Option<(&mut Page, Place)> {
        let read = read_id(id);
        let found = self.pages.iter_mut().find(|page| page.channel == channel);
        let placed = match (found, read) {
            (Some(page), Some((mark, at))) if mark == page.mark && !at.is_null() => {
                Some((page, at))
            }
            _ => None,
        };
        if placed.is_none() {
            self.malformed
                .push(format!("{id:?} of {channel} is no id of a subscription"));
        }
        placed
    }
}

/// The account of a client, or of many.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Publications between each client's start and the end.
    pub published: u64,
    /// Publications that came, each counted once.
    pub received: u64,
    /// Publications inside of announced gaps.
    pub lost: u64,
    /// Publications that came again.
    pub repeated: u64,
    /// Publications or gaps that came after a later position.
    pub out_of_order: u64,
    /// Publications that neither came nor were announced as lost.
    pub unannounced: u64,
    /// Gaps that lost nothing, began elsewhere, or gave a reason that did not hold.
    pub false_gaps: u64,
    /// What is not as the wire contract says: ids of other positions, things before hello.
    pub malformed: u64,
    /// Gaps by their reason.
    pub gaps: BTreeMap<String, u64>,
    /// The first few faults in words.
    pub findings: Vec<String>,
}

impl Account {
    /// Whether everything published was received or announced, and nothing else happened.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let faults = [
            self.repeated,
            self.out_of_order,
            self.unannounced,
            self.false_gaps,
            self.malformed,
        ];
        faults == [0; 5] && self.received + self.lost == self.published
    }

    fn find(&mut self, what: impl FnOnce() -> String) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(what());
        }
    }
}

impl AddAssign for Account {
    fn add_assign(&mut self, other: Self) {
        self.published += other.published;
        self.received += other.received;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.out_of_order += other.out_of_order;
        self.unannounced += other.unannounced;
        self.false_gaps += other.false_gaps;
        self.malformed += other.malformed;
        for (reason, count) in other.gaps {
            *self.gaps.entry(reason).or_default() += count;
        }
        let room = MAX_FINDINGS.saturating_sub(self.findings.len());
        self.findings.extend(other.findings.into_iter().take(room));
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} published = {} received + {} announced lost; {} repeated, {} out of order, \
             {} unannounced, {} false gaps, {} malformed; gaps {:?}",
            self.published,
            self.received,
            self.lost,
            self.repeated,
            self.out_of_order,
            self.unannounced,
            self.false_gaps,
            self.malformed,
            self.gaps
        )
    }
}

/// Judges what a client was told. `history` is how many publications a channel keeps: what was
/// among those can't have been lost to retention.
#[must_use]
pub fn judge(diary: &Diary, published: &Published, history: u64) -> Account {
    let mut account = Account {
        gaps: diary.reasons.clone(),
        malformed: diary.malformed.len() as u64,
        ..Account::default()
    };
    for what in &diary.malformed {
        account.find(|| what.clone());
    }
    for page in &diary.pages {
        let reader = Reader {
            channel: &page.channel,
            published,
            history,
            seen: vec![false; published.places(&page.channel).len() + 1],
            stand: None,
            unknown: false,
            tag: None,
        };
        reader.read(&page.heard, &mut account);
    }
    account
}

/// Goes through one page of a diary.
struct Reader<'a> {
    channel: &'a str,
    published: &'a Published,
    history: u64,
    seen: Vec<bool>,
    /// Everything up to this number came or was announced as lost.
    stand: Option<u64>,
    /// Whether the client was told that its position is unknown.
    unknown: bool,
    /// The epoch part of the last position.
    tag: Option<[u8; 4]>,
}

impl Reader<'_> {
    fn read(mut self, heard: &[Heard], account: &mut Account) {
        let mut start = None;
        for heard in heard {
            match *heard {
                Heard::Started { at, sent } => {
                    let number = self.published.number_at(self.channel, at, sent);
                    (start, self.stand) = (Some(number), Some(number));
                    self.tag = Some(at.tag);
                }
                Heard::Unknown => self.unknown = true,
                Heard::Message { at, number } => self.message(at, number, account),
                Heard::Gap {
                    reason,
                    last,
                    resume,
                    sent,
                } => self.gap((reason, last), resume, sent, account),
            }
        }
        let total = self.published.count(self.channel);
        let (Some(start), Some(stand)) = (start, self.stand) else {
            account.malformed += 1;
            account.find(|| format!("{}: never told where it begins", self.channel));
            return;
        };
        account.published += total - start;
        if stand < total {
            account.unannounced += total - stand;
            account.find(|| format!("{}: nothing after {stand} of {total}", self.channel));
        }
    }

    fn message(&mut self, at: Place, number: u64, account: &mut Account) {
        let channel = self.channel;
        let Some(stand) = self.stand else {
            account.malformed += 1;
            return account.find(|| format!("{channel}: {number} before hello"));
        };
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        let place = index
            .checked_sub(1)
            .and_then(|index| self.published.places(channel).get(index));
        if place != Some(&at) {
            account.malformed += 1;
            return account
                .find(|| format!("{channel}: {number} came as {at:?}, published as {place:?}"));
        }
        self.tag = Some(at.tag);
        if std::mem::replace(&mut self.seen[index], true) {
            account.repeated += 1;
            return account.find(|| format!("{channel}: {number} came again after {stand}"));
        }
        account.received += 1;
        if number <= stand {
            account.out_of_order += 1;
            return account.find(|| format!("{channel}: {number} came after {stand}"));
        }
        if number > stand + 1 {
            account.unannounced += number - stand - 1;
            account.find(|| format!("{channel}: from {stand} to {number} in silence"));
        }
        self.stand = Some(number);
    }

    fn gap(
        &mut self,
        (reason, last): (Reason, Option<Place>),
        resume: Place,
        sent: u64,
        account: &mut Account,
    ) {
        let channel = self.channel;
        let Some(stand) = self.stand else {
            account.malformed += 1;
            return account.find(|| format!("{channel}: a gap before hello"));
        };
        let number = self.published.number_at(channel, resume, sent);
        let same_epoch = self.tag == Some(resume.tag);
        let told_unknown = std::mem::take(&mut self.unknown);
        let begins = last.map(|last| self.published.number_at(channel, last, sent));
        let holds = match reason {
            Reason::TooOld => same_epoch && stand + 1 + self.history <= sent,
            // A restart that nobody published after loses nothing, and still has to be said.
            Reason::EpochChanged => !same_epoch,
            Reason::PositionUnknown => told_unknown,
            Reason::Other => false,
        };
        let loses = number > stand || reason != Reason::TooOld;
        if !holds || !loses || begins.is_some_and(|begins| begins != stand) {
            account.false_gaps += 1;
            account.find(|| {
                format!("{channel}: {reason:?} from {begins:?} to {number} of {sent}, at {stand}")
            });
        }
        if number < stand {
            account.out_of_order += 1;
            return account.find(|| format!("{channel}: a gap back from {stand} to {number}"));
        }
        account.lost += number - stand;
        self.stand = Some(number);
        self.tag = Some(resume.tag);
    }
}
