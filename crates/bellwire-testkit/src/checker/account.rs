//! Judges a diary: every publication is received, or announced as lost, exactly once and in order.

use std::{collections::BTreeMap, fmt, ops::AddAssign};

use super::{
    Diary, Place, Published,
    diary::{Heard, Reason},
};

/// Sentences kept of what is wrong; the counts go on.
const MAX_FINDINGS: usize = 10;

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
