//! The cursor walk: what a connection is sent next, and what becomes of it when the socket takes
//! only a part. Live delivery, resume, catch-up of a slow consumer and coalescing are all this.

use std::{cell::Ref, io::IoSlice, ops::Range};

use smallvec::SmallVec;

use super::{
    Cause, Release, Sent, Shard, Sockets,
    channels::{Channels, Source},
    connection::{Connection, ConnectionRef, Ix, Output, Phase, Subscription, Transport},
    ids::Ids,
    settings::PlantedFault,
    wheel::Coarse,
};
use crate::{
    position::Position,
    segment::{Pinned, Run, SharedChunk, Spares, View},
};

/// Publication bytes in one send; one publication is sent however long it is.
const SEND_BYTES: usize = 64 << 10;
/// Pieces in one send.
const SEND_PIECES: usize = 16;

/// Publications of one channel, on their way to one connection.
pub(super) struct Piece {
    pub(super) chunk: SharedChunk,
    pub(super) run: Run,
    /// Which subscription.
    pub(super) nth: usize,
    /// The connection's own id line, in [`super::flush::Flush::lines`].
    line: Range<usize>,
    pub(super) source: Source,
}

/// What was found for a connection.
#[derive(Default)]
pub(super) struct Gathered {
    pieces: SmallVec<[Piece; 2]>,
    /// Whether a bound cut it short.
    more: bool,
    /// Channels in which it is behind the tail and no page is at hand, and from where.
    missing: SmallVec<[(Ix, u64); 1]>,
}

impl Gathered {
    pub(super) fn take_pieces(&mut self) -> SmallVec<[Piece; 2]> {
        std::mem::take(&mut self.pieces)
    }
}

impl<S: Sockets> Shard<S> {
    /// Sends a connection what it can take now; returns whether it is still behind then.
    pub(super) fn flush_connection(&mut self, ix: Ix) -> bool {
        let Some(connection) = self.connections.get_mut(ix as usize) else {
            return false;
        };
        if connection.flags.blocked {
            return true;
        }
        if let Some(blocked) = self.send_live(ix) {
            return blocked;
        }
        let Some(connection) = self.connections.get_mut(ix as usize) else {
            return false;
        };
        let compresses = connection.compresses();
        let mut gathered = match connection.phase.as_deref() {
            Some(Phase::Held(held)) => {
                let over = self.now.mono >= held.deadline;
                if self.answer(ix, over) {
                    return true;
                }
                Gathered::default()
            }
            None => {
                let flush = &mut self.flush;
                flush.lines.clear();
                gather(
                    connection,
                    &mut self.channels,
                    &mut flush.spare,
                    &mut flush.lines,
                    &mut flush.ids,
                )
            }
            Some(
                Phase::AwaitingAuth(_)
                | Phase::Attaching(_)
                | Phase::Answered(_)
                | Phase::Closing { .. },
            ) => Gathered::default(),
        };
        if compresses {
            self.pin_compressed(ix, &mut gathered);
        }
        let behind = gathered.more || !gathered.missing.is_empty();
        let blocked = self.send(ix, &gathered.pieces);
        let Some(connection) = self.connections.get(ix as usize) else {
            return false;
        };
        let generation = connection.name.generation;
        if gathered.more && !blocked {
            self.make_ready(ix);
        }
        for (entry_ix, after) in gathered.missing {
            self.want_page(ConnectionRef { ix, generation }, entry_ix, after);
        }
        self.after_send(ix);
        behind || blocked
    }

    /// What the walk comes to nearly always: one channel, nothing else to send, and what follows the
    /// cursor is one slice. `None` where it is more than that; otherwise whether the socket blocked.
    fn send_live(&mut self, ix: Ix) -> Option<bool> {
        let connection = &mut self.connections[ix as usize];
        let format = connection.name.format;
        if !connection.is_plainly_live() || format.is_composite() {
            return None;
        }
        let [subscription] = &mut connection.subscriptions[..] else {
            return None;
        };
        let cursor = subscription.cursor();
        let entry = &mut self.channels[subscription.channel];
        if cursor >= entry.head {
            return Some(false);
        }
        let (chunk, source, _) = entry.chunk_for(cursor, format, &mut self.flush.spare)?;
        let shared = chunk.borrow();
        let run = shared.run(cursor, usize::MAX, SEND_BYTES)?;
        if run.last != entry.head {
            return None;
        }
        let bytes = &shared.bytes()[run.start..run.end];
        let offered = bytes.len();
        let sent = self
            .sockets
            .send(connection.name.socket, &[IoSlice::new(bytes)]);
        drop(shared);
        if sent == Sent::Bytes(offered) {
            subscription.move_to(run.last);
            connection.clock.sent = Coarse::floor(self.now.mono);
            let replayed = if source == Source::Page { run.count } else { 0 };
            let transport = connection.name.transport;
            self.count_sent(transport, run.count as u64, replayed as u64, offered);
            return Some(false);
        }
        let piece = Piece {
            chunk,
            run,
            nth: 0,
            line: 0..0,
            source,
        };
        Some(self.settle_send(ix, None, &[piece], offered, sent))
    }

    /// Offers the output and the pieces to the socket in one send; returns whether it blocked.
    fn send(&mut self, ix: Ix, pieces: &[Piece]) -> bool {
        let connection = &mut self.connections[ix as usize];
        let output = connection.take_output();
        if output.is_none() && pieces.is_empty() {
            return false;
        }
        let (offered, sent) = offer(
            &mut self.sockets,
            connection,
            output.as_ref(),
            pieces,
            &self.flush.lines,
        );
        self.settle_send(ix, output, pieces, offered, sent)
    }

    /// Moves the cursors over what the socket took; returns whether it blocked.
    fn settle_send(
        &mut self,
        ix: Ix,
        output: Option<Output>,
        pieces: &[Piece],
        offered: usize,
        sent: Sent,
    ) -> bool {
        let Sent::Bytes(sent) = sent else {
            self.depart(ix, Cause::Peer);
            return false;
        };
        let connection = &mut self.connections[ix as usize];
        if sent > 0 {
            connection.clock.sent = Coarse::floor(self.now.mono);
        }
        let (publications, replayed, rest) =
            settle_sent(connection, output, pieces, &self.flush.lines, sent);
        let forgotten = self.settings.planted == Some(PlantedFault::ForgetPartialFrame);
        connection.put_output(rest.filter(|_| !forgotten || sent == offered));
        let blocked = sent < offered;
        connection.flags.blocked |= blocked;
        self.stats.blocked += u64::from(blocked);
        let transport = connection.name.transport;
        self.count_sent(transport, publications, replayed, sent);
        blocked
    }

    fn count_sent(&mut self, transport: Transport, publications: u64, replayed: u64, bytes: usize) {
        self.stats.deliveries[transport as usize] += publications;
        self.stats.replayed += replayed;
        self.stats.delivered_bytes += bytes as u64;
    }

    /// What an emptied output makes possible: reading on, or going.
    fn after_send(&mut self, ix: Ix) {
        let connection = &self.connections[ix as usize];
        let is_sent = connection.waiting_output().is_none();
        match connection.phase.as_deref() {
            Some(Phase::Answered(_) | Phase::Closing { .. }) => self.let_go(ix, is_sent),
            _ if is_sent && connection.flags.paused => self.resume_input(ix),
            _ => {}
        }
    }

    /// A connection that has its last words, or a part of them.
    #[inline(never)]
    fn let_go(&mut self, ix: Ix, is_sent: bool) {
        let connection = &self.connections[ix as usize];
        match connection.phase.as_deref() {
            Some(Phase::Answered(_)) if is_sent => {
                let release = if connection.flags.last_answer {
                    Release::Close
                } else {
                    Release::Reuse
                };
                self.release(ix, Cause::Answered, release);
            }
            // Only who does not take all of it at once is watched.
            Some(Phase::Answered(_)) => self.plan(ix),
            Some(&Phase::Closing { cause, heard: true }) if is_sent => {
                self.release(ix, cause, Release::Close);
            }
            // The peer's last word is still to be read.
            _ if is_sent && connection.flags.paused => self.resume_input(ix),
            _ => {}
        }
    }
}

/// Looks up what follows the connection's cursors.
fn gather(
    connection: &mut Connection,
    channels: &mut Channels,
    spare: &mut Spares,
    lines: &mut Vec<u8>,
    ids: &mut Ids,
) -> Gathered {
    let mut gathered = Gathered::default();
    let composite = connection.name.format.is_composite();
    let mut room = SEND_BYTES;
    let count = connection.subscriptions.len();
    // Each time another channel goes first, or one with a backlog would keep the others waiting.
    let first = usize::from(connection.flags.turn) % count.max(1);
    connection.flags.turn = connection.flags.turn.wrapping_add(1);
    'full: for nth in (first..count).chain(0..first) {
        let subscription = &mut connection.subscriptions[nth];
        let entry_ix = subscription.channel;
        let mut cursor = subscription.cursor();
        while subscription.is_live() && cursor < channels[entry_ix].head {
            if gathered.pieces.len() == SEND_PIECES || room == 0 {
                gathered.more = true;
                break 'full;
            }
            let format = connection.name.format;
            let Some((chunk, source, end)) = channels[entry_ix].chunk_for(cursor, format, spare)
            else {
                gathered.missing.push((entry_ix, cursor));
                break;
            };
            let max_count = if composite { 1 } else { usize::MAX };
            let run = chunk.borrow().run(cursor, max_count, room);
            let Some(run) = run else {
                // The log says that nothing is retained up to here.
                cursor = end;
                if gathered.pieces.iter().all(|piece| piece.nth != nth) {
                    subscription.move_to(end);
                }
                continue;
            };
            if run.end - run.start > room && !gathered.pieces.is_empty() {
                gathered.more = true;
                break 'full;
            }
            room = room.saturating_sub(run.end - run.start);
            cursor = run.last;
            gathered.pieces.push(Piece {
                chunk,
                run,
                nth,
                line: 0..0,
                source,
            });
        }
    }
    if composite {
        write_lines(connection, channels, &mut gathered, lines, ids);
    }
    gathered
}

/// Writes the id line of each piece: the cursor of the whole connection once it is delivered.
fn write_lines(
    connection: &Connection,
    channels: &Channels,
    gathered: &mut Gathered,
    lines: &mut Vec<u8>,
    ids: &mut Ids,
) {
    let live = |sub: &&Subscription| sub.is_live();
    let mut stands: SmallVec<[(Ix, u64); 8]> = connection
        .subscriptions
        .iter()
        .filter(live)
        .map(|subscription| (subscription.channel, subscription.cursor()))
        .collect();
    let framing = connection.name.format.framing();
    for piece in &mut gathered.pieces {
        let before = connection.subscriptions[..piece.nth].iter();
        stands[before.filter(live).count()].1 = piece.run.last;
        let start = lines.len();
        framing.write(lines, |lines| {
            lines.extend_from_slice(b"id: ");
            for (i, &(entry_ix, offset)) in stands.iter().enumerate() {
                if i > 0 {
                    lines.push(b'.');
                }
                let entry = &channels[entry_ix];
                let epoch = entry.epoch;
                let id = ids.of(&entry.channel, Position { epoch, offset });
                lines.extend_from_slice(id.as_bytes());
            }
            lines.push(b'\n');
        });
        piece.line = start..lines.len();
    }
}

/// One vectored write; returns what was offered and what was taken.
fn offer<S: Sockets>(
    sockets: &mut S,
    connection: &Connection,
    output: Option<&Output>,
    pieces: &[Piece],
    lines: &[u8],
) -> (usize, Sent) {
    let views: SmallVec<[View<'_>; 2]> = output
        .into_iter()
        .flat_map(Output::iter)
        .map(Pinned::view)
        .collect();
    let chunks: SmallVec<[Ref<'_, crate::segment::Chunk>; 2]> =
        pieces.iter().map(|piece| piece.chunk.borrow()).collect();
    let mut slices: SmallVec<[IoSlice<'_>; 4]> = SmallVec::new();
    slices.extend(views.iter().map(|view| IoSlice::new(view)));
    for (piece, chunk) in pieces.iter().zip(&chunks) {
        if !piece.line.is_empty() {
            slices.push(IoSlice::new(&lines[piece.line.clone()]));
        }
        slices.push(IoSlice::new(&chunk.bytes()[piece.run.start..piece.run.end]));
    }
    let offered = slices.iter().map(|slice| slice.len()).sum();
    (offered, sockets.send(connection.name.socket, &slices))
}

/// Moves the cursors over what was sent and keeps the rest of a frame that was cut. Returns how
/// many publications went out, how many of them from pages, and what is left to send.
fn settle_sent(
    connection: &mut Connection,
    mut output: Option<Output>,
    pieces: &[Piece],
    lines: &[u8],
    sent: usize,
) -> (u64, u64, Option<Output>) {
    let mut rest = match &mut output {
        Some(output) => output.advance(sent),
        None => sent,
    };
    let (mut publications, mut replayed) = (0, 0);
    for piece in pieces {
        let run = piece.run;
        let subscription = &mut connection.subscriptions[piece.nth];
        let whole = piece.line.len() + (run.end - run.start);
        let mut count = run.count as u64;
        if rest >= whole {
            subscription.move_to(run.last);
            rest -= whole;
        } else {
            count = cut(subscription, &mut output, piece, lines, rest);
            rest = 0;
        }
        publications += count;
        if piece.source == Source::Page {
            replayed += count;
        }
        if rest == 0 && count < run.count as u64 {
            break;
        }
    }
    (publications, replayed, output)
}

/// A piece of which only `sent` bytes were taken: complete publications count as sent, the one
/// that was cut is pinned.
fn cut(
    subscription: &mut Subscription,
    output: &mut Option<Output>,
    piece: &Piece,
    lines: &[u8],
    sent: usize,
) -> u64 {
    if sent == 0 {
        return 0;
    }
    let Piece {
        chunk, run, line, ..
    } = piece;
    let output = output.get_or_insert_default();
    if sent < line.len() {
        output.push_own(&lines[line.start + sent..line.end]);
        output.push(Pinned::Shared {
            chunk: chunk.clone(),
            start: run.start,
            end: run.end,
        });
        subscription.move_to(run.last);
        return run.count as u64;
    }
    let at = run.start + (sent - line.len());
    let shared = chunk.borrow();
    let before = subscription.cursor();
    if line.is_empty() && shared.is_boundary(at) {
        let offset = shared.offset_before(at);
        subscription.move_to(offset.expect("a boundary behind sent bytes ends a publication"));
    } else {
        // A composite line that went out belongs to the publication behind it, begun or not.
        let (offset, end) = shared.entry_at(at).expect("the cut lies inside of the run");
        subscription.move_to(offset);
        output.push(Pinned::Shared {
            chunk: chunk.clone(),
            start: at,
            end,
        });
    }
    shared.count_between(before, subscription.cursor())
}
