//! News from the engine: publications for the tail, pages for those behind it.

use super::{
    Pending, Shard, Sockets,
    connection::{ConnectionRef, Ix},
    pages::PAGE_BYTES,
    settings::SlowConsumerPolicy,
    tail::Tail,
};
use crate::{
    channel::Channel,
    engine::{Announcement, Gap, GapReason, LogPage, Request},
    envelope::ChannelGap,
    segment::Segment,
    shard::report::Cause,
};

impl<S: Sockets> Shard<S> {
    /// A publication, or the news that there is one, in a channel of interest.
    pub(super) fn announced(&mut self, announcement: Announcement) {
        let Announcement {
            channel,
            prev,
            offset,
            publication,
            confirm,
            ..
        } = announcement;
        // Without an entry the last subscriber left while this was on its way; without its
        // confirmation the reply to come tells a head at or above this.
        let is_news = |&ix: &Ix| {
            let entry = &self.channels[ix];
            entry.is_attached() && offset > entry.head
        };
        let Some(ix) = self.channels.find(&channel).filter(is_news) else {
            if confirm {
                let (backplane, out) = (&mut self.link.backplane, &mut self.link.remote);
                backplane.flushed(&channel, offset, self.now, out);
            }
            return;
        };
        let entry = &self.channels[ix];
        if let (Some(publication), Some(tail)) = (&publication, &entry.tail)
            && tail.would_roll(publication.weight())
        {
            // Whoever keeps up is sent the older half before it goes.
            self.flush_whole_channel(ix);
            if !self.channels.contains(ix) {
                return;
            }
        }
        let spare = &mut self.flush.spare;
        let entry = &mut self.channels[ix];
        let chained = prev <= entry.head;
        let tail_start = if chained { entry.head } else { prev };
        match publication {
            Some(publication) => {
                let tail = entry
                    .tail
                    .get_or_insert_with(|| Box::new(Tail::new(tail_start)));
                if !chained {
                    // Something between was not announced; those before it read the log.
                    tail.reset(prev, spare);
                }
                tail.append(publication, spare);
            }
            None => {
                self.stats.shrunk += 1;
                entry.retire_tail(spare);
            }
        }
        entry.head = offset;
        entry.pass.confirm |= confirm;
        self.mark_dirty(ix);
    }

    /// Makes a connection wait for the page that follows its cursor in a channel.
    pub(super) fn want_page(&mut self, connection: ConnectionRef, entry_ix: Ix, after: u64) {
        let entry = &mut self.channels[entry_ix];
        let pages = entry.pages.get_or_insert_default();
        if !pages.waiting.contains(&connection) {
            pages.waiting.push(connection);
        }
        if pages.reading {
            return;
        }
        pages.reading = true;
        let channel = entry.channel.clone();
        let request = Request::Read {
            channel: channel.clone(),
            after,
            max_bytes: PAGE_BYTES,
        };
        self.submit(Pending::Page { channel }, request);
    }

    pub(super) fn page_arrived(&mut self, page: LogPage) {
        let Some(entry_ix) = self.channels.find(&page.channel) else {
            return;
        };
        self.stats.pages += 1;
        let weight: usize = page.publications.iter().map(|p| p.weight()).sum();
        self.make_room(entry_ix, weight);
        self.flush.catchup_held += weight;
        let LogPage {
            trimmed,
            oldest,
            start,
            end,
            publications,
            ..
        } = page;
        let entry = &mut self.channels[entry_ix];
        let pages = entry.pages.get_or_insert_default();
        pages.reading = false;
        let is_first = pages.is_empty();
        let page = Segment::from_page(start, end, publications);
        self.flush.catchup_held -= pages.insert(page, &mut self.flush.spare);
        let waiting = std::mem::take(&mut pages.waiting);
        if is_first {
            self.flush.paged.push_back(entry_ix);
        }
        for connection in waiting {
            if self.find_mut(connection).is_some() {
                self.meet_gap(connection.ix, entry_ix, trimmed, oldest);
                self.make_ready(connection.ix);
            }
        }
    }

    pub(super) fn page_failed(&mut self, channel: &Channel) {
        let Some(entry_ix) = self.channels.find(channel) else {
            return;
        };
        let Some(pages) = &mut self.channels[entry_ix].pages else {
            return;
        };
        pages.reading = false;
        // Asked again at the next sweep; an early gap would be a false one.
        self.flush.retry.push(entry_ix);
    }

    /// Says the loss of a connection whose cursor history no longer reaches.
    fn meet_gap(&mut self, ix: Ix, entry_ix: Ix, trimmed: u64, oldest: Option<u64>) {
        let connection = &mut self.connections[ix as usize];
        let Some(subscription) = connection
            .subscriptions
            .iter_mut()
            .find(|sub| sub.is_live() && sub.channel == entry_ix && sub.cursor() < trimmed)
        else {
            return;
        };
        let gap = Gap {
            reason: GapReason::SlowConsumer,
            last: Some(subscription.cursor()),
            next: oldest,
            resume: trimmed,
        };
        if self.settings.slow_consumer == SlowConsumerPolicy::Close {
            self.close(
                ix,
                Cause::SlowConsumer,
                "history no longer reaches back to its cursor",
            );
            return;
        }
        subscription.move_to(trimmed);
        self.stats.gap(gap.reason);
        let entry = &self.channels[entry_ix];
        let gap = ChannelGap {
            channel: entry.channel.clone(),
            epoch: entry.epoch,
            gap,
        };
        self.say_gap(ix, &gap);
    }

    /// Keeps the pages within their budget, dropping the oldest channels' first.
    fn make_room(&mut self, keep: Ix, weight: usize) {
        while self.flush.catchup_held + weight > self.flush.catchup_bytes {
            let Some(victim) = self.flush.paged.pop_front() else {
                return;
            };
            if self.channels.contains(victim)
                && let Some(pages) = &mut self.channels[victim].pages
            {
                self.flush.catchup_held -= pages.clear(&mut self.flush.spare);
            }
            if victim == keep && self.flush.paged.is_empty() {
                return;
            }
        }
    }

    /// Lets go of pages that nobody used since the last sweep; asks again for those that failed.
    pub(super) fn sweep_pages(&mut self) {
        if self.now.mono < self.flush.next_sweep {
            return;
        }
        self.flush.next_sweep = self.now.mono + 1_000;
        for entry_ix in std::mem::take(&mut self.flush.paged) {
            if !self.channels.contains(entry_ix) {
                continue;
            }
            let entry = &mut self.channels[entry_ix];
            let Some(pages) = &mut entry.pages else {
                continue;
            };
            self.flush.catchup_held -= pages.sweep(&mut self.flush.spare);
            if pages.is_unused() {
                entry.pages = None;
            } else {
                self.flush.paged.push_back(entry_ix);
            }
        }
        for entry_ix in std::mem::take(&mut self.flush.retry) {
            if self.channels.contains(entry_ix)
                && let Some(pages) = &mut self.channels[entry_ix].pages
            {
                for connection in std::mem::take(&mut pages.waiting) {
                    if self.find_mut(connection).is_some() {
                        self.make_ready(connection.ix);
                    }
                }
            }
        }
    }
}
