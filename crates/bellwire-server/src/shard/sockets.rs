//! The sockets of one shard: an edge-triggered epoll over those that were taken over from the
//! HTTP library, and pipes into the bodies of those that were not.
//!
//! The core's shard sends through this; the driver asks it what has happened. Bytes only, no
//! decisions. A socket costs its slot here and nothing else in user space.

use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt,
    io::{self, IoSlice, Read},
    net::{IpAddr, SocketAddr, TcpStream},
    os::fd::OwnedFd,
    rc::Rc,
    time::Duration,
};

use bellwire_core::shard::{
    ConnectionRef, Departure, Release, Sent, SocketKey, Sockets, report::Cause,
};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use slab::Slab;

use super::{
    census::{Place, Seat},
    closes::CloseLog,
    pipe::Pipe,
    slot::{Rare, Slot},
    tls::Tls,
};

/// Events taken from the kernel at once.
const EVENTS: usize = 256;
/// Answered polls taken up again per turn.
const RETURNS: usize = 8;
/// How long a peer may take for a session's last words, in milliseconds.
const CLOSING_MS: u64 = 5_000;

/// A socket between two owners.
#[derive(Debug)]
pub(crate) struct Idle {
    pub(crate) stream: TcpStream,
    /// Its encryption, where it has one.
    pub(crate) tls: Option<Box<Tls>>,
    pub(crate) seat: Seat,
    /// What had been read behind the last request.
    pub(crate) leftover: Vec<u8>,
}

/// What the driver is to do next with a socket.
#[derive(Debug)]
pub(crate) enum Happened {
    /// The session may be able to send on.
    Writable(ConnectionRef),
    /// The peer is gone.
    HungUp(ConnectionRef),
}

/// A socket that nobody reads: until when it is kept, which, of which generation. All of a queue are
/// kept equally long, so the first is the first to go.
type Parked = (u64, SocketKey, u32);

/// See the module.
pub(crate) struct Epoll {
    fd: Rc<OwnedFd>,
    slots: Slab<Slot>,
    generation: u32,
    /// Sockets to be read.
    reads: VecDeque<SocketKey>,
    /// Answered polls whose next request has begun to arrive.
    returned: VecDeque<SocketKey>,
    /// Answered polls that wait for their next request.
    parked: VecDeque<Parked>,
    /// Sockets whose session has ended, and whose peer has not taken its last words.
    closing: VecDeque<Parked>,
    keep_alive_ms: u64,
    now: u64,
    closes: CloseLog,
}

impl Epoll {
    pub(crate) fn new(keep_alive: Duration) -> io::Result<Self> {
        Ok(Self {
            fd: Rc::new(epoll::create(CreateFlags::CLOEXEC)?),
            slots: Slab::new(),
            generation: 0,
            reads: VecDeque::new(),
            returned: VecDeque::new(),
            parked: VecDeque::new(),
            closing: VecDeque::new(),
            keep_alive_ms: u64::try_from(keep_alive.as_millis()).unwrap_or(u64::MAX),
            now: 0,
            closes: CloseLog::default(),
        })
    }

    /// The epoll's own descriptor, which is readable when something has happened.
    pub(crate) fn descriptor(&self) -> Rc<OwnedFd> {
        Rc::clone(&self.fd)
    }

    pub(crate) fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// Takes a socket in. Its events are only looked at once it is bound to a connection.
    pub(crate) fn insert(&mut self, idle: Idle) -> io::Result<SocketKey> {
        let Idle {
            stream,
            tls,
            seat,
            leftover,
        } = idle;
        let rare = match tls {
            Some(mut tls) => {
                tls.put_back(leftover);
                Some(Rare::Tls(tls))
            }
            None => (!leftover.is_empty()).then_some(Rare::Leftover(leftover)),
        };
        self.generation = self.generation.wrapping_add(1);
        let entry = self.slots.vacant_entry();
        let key = SocketKey::try_from(entry.key()).expect("fewer sockets than descriptors");
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&*self.fd, &stream, data(key, self.generation), flags)?;
        entry.insert(Slot {
            stream: Some(stream),
            seat: Some(seat),
            rare: rare.map(Box::new),
            ..Slot::new(self.generation)
        });
        Ok(key)
    }

    /// Takes the writing end of a response body in.
    pub(crate) fn insert_pipe(
        &mut self,
        pipe: Rc<RefCell<Pipe>>,
        peer: SocketAddr,
        place: Option<Place>,
    ) -> SocketKey {
        self.generation = self.generation.wrapping_add(1);
        let slot = Slot {
            rare: Some(Box::new(Rare::Pipe(pipe, peer, place))),
            ..Slot::new(self.generation)
        };
        SocketKey::try_from(self.slots.insert(slot)).expect("fewer than 2^32 sockets")
    }

    /// Ties a socket to the session that reads from it now. `holds_input` keeps what arrives for
    /// the next request.
    pub(crate) fn bind(&mut self, socket: SocketKey, connection: ConnectionRef, holds_input: bool) {
        // A session may have ended within the call that opened it.
        if let Some(slot) = self.slots.get_mut(socket as usize) {
            slot.connection = Some(connection);
            slot.holds_input = holds_input;
        }
    }

    /// Counts a proxy's connection with its client while the session lives that opens on it.
    pub(crate) fn lend(&mut self, socket: SocketKey, place: Place) {
        let slot = &mut self.slots[socket as usize];
        if let Some(seat) = &mut slot.seat {
            seat.lend(place);
            slot.lent = true;
        } else if let Some(Rare::Pipe(_, _, client)) = slot.rare.as_deref_mut() {
            *client = Some(place);
        }
    }

    /// The client's address, unless it is gone. Where nobody else named it the kernel knows it, and
    /// its port, so no slot keeps it.
    pub(crate) fn client(&self, socket: SocketKey) -> Option<(IpAddr, Option<u16>)> {
        let slot = self.slots.get(socket as usize)?;
        let (peer, named) = match slot.rare.as_deref() {
            Some(Rare::Pipe(_, peer, place)) => {
                (Some(*peer), place.as_ref().and_then(Place::address))
            }
            _ => {
                let stream = slot.stream.as_ref()?;
                let named = slot.seat.as_ref().and_then(Seat::address);
                (stream.peer_addr().ok(), named)
            }
        };
        match (named, peer) {
            (Some(named), Some(peer)) if peer.ip().to_canonical() != named => Some((named, None)),
            (_, Some(peer)) => Some((peer.ip(), Some(peer.port()))),
            (Some(named), None) => Some((named, None)),
            (None, None) => None,
        }
    }

    /// The addresses of some clients, about `at_most`, spread over all of them; and of how many.
    pub(crate) fn sample(&self, at_most: usize) -> (usize, Vec<IpAddr>) {
        let step = self.slots.len().div_ceil(at_most.max(1)).max(1);
        let some = self.slots.iter().step_by(step);
        let clients = some.filter_map(|(key, _)| {
            let key = SocketKey::try_from(key).ok()?;
            self.client(key).map(|(address, _)| address)
        });
        (self.slots.len(), clients.collect())
    }

    /// Takes what was read behind the request.
    pub(crate) fn take_leftover(&mut self, socket: SocketKey) -> Vec<u8> {
        let slot = self.slots.get_mut(socket as usize);
        slot.map(Slot::take_leftover).unwrap_or_default()
    }

    /// Asks the kernel what has happened, without waiting. Returns whether there may be more.
    pub(crate) fn poll(&mut self, happened: &mut Vec<Happened>) -> io::Result<bool> {
        let zero = rustix::time::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut events = [const { std::mem::MaybeUninit::<Event>::uninit() }; EVENTS];
        let (events, _) = match epoll::wait(&*self.fd, &mut events[..], Some(&zero)) {
            Ok(events) => events,
            Err(rustix::io::Errno::INTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let full = events.len() == EVENTS;
        for event in events.iter() {
            self.note(event, happened);
        }
        Ok(full)
    }

    fn note(&mut self, event: &Event, happened: &mut Vec<Happened>) {
        let (key, generation) = split(event.data.u64());
        let Some(slot) = self.slots.get_mut(key as usize) else {
            return;
        };
        if slot.generation != generation {
            return;
        }
        let gone = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        let mut flags = event.flags;
        if flags.contains(EventFlags::OUT)
            && let Some((mut stream, Some(tls))) = slot.parts()
        {
            // Nothing goes before what was encrypted already.
            match tls.flush(&mut stream) {
                Ok(true) => {}
                Ok(false) => flags.remove(EventFlags::OUT),
                Err(_) => flags.insert(EventFlags::HUP),
            }
        }
        if slot.is_closing() {
            if flags.intersects(EventFlags::HUP | EventFlags::ERR) || !slot.close() {
                self.slots.remove(key as usize);
            }
            return;
        }
        let Some(connection) = slot.connection else {
            // An answered poll: its next request, or its end.
            if flags.intersects(EventFlags::IN | gone) && slot.seat.is_some() {
                self.returned.push_back(key);
            }
            return;
        };
        slot.ended |= flags.contains(EventFlags::RDHUP);
        if flags.contains(EventFlags::IN) {
            slot.readable = true;
            if !slot.queued && !slot.paused && !slot.holds_input {
                slot.queued = true;
                self.reads.push_back(key);
            }
        }
        if flags.contains(EventFlags::OUT) {
            happened.push(Happened::Writable(connection));
        }
        let left = slot.holds_input && slot.ended;
        if left || flags.intersects(EventFlags::HUP | EventFlags::ERR) {
            happened.push(Happened::HungUp(connection));
        }
    }

    /// The next socket with bytes to read.
    pub(crate) fn next_read(&mut self) -> Option<(SocketKey, ConnectionRef)> {
        while let Some(key) = self.reads.pop_front() {
            let Some(slot) = self.slots.get_mut(key as usize) else {
                continue;
            };
            slot.queued = false;
            if let Some(connection) = slot.connection.filter(|_| slot.readable) {
                return Some((key, connection));
            }
        }
        None
    }

    pub(crate) fn has_reads(&self) -> bool {
        !self.reads.is_empty()
    }

    /// Reads once, and queues the socket again where there may be more; `None` means that nothing
    /// is there.
    pub(crate) fn read(&mut self, key: SocketKey, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(slot) = self.slots.get_mut(key as usize) else {
            return Ok(None);
        };
        let mut stream = match slot.parts() {
            None => return Ok(None),
            Some((mut stream, Some(tls))) => {
                let received = tls.receive(&mut stream, buffer);
                match &received {
                    Ok(Some(count)) if *count > 0 => self.queue_read(key),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                        self.queue_read(key);
                        return Ok(None);
                    }
                    _ => slot.readable = false,
                }
                return received;
            }
            Some((stream, None)) => stream,
        };
        match stream.read(buffer) {
            Ok(count) => {
                // A short read emptied the socket: what comes later is a new edge, except an end
                // of the stream that came with this one.
                if count == buffer.len() || (slot.ended && count > 0) {
                    self.queue_read(key);
                } else {
                    slot.readable = false;
                }
                Ok(Some(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                slot.readable = false;
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.queue_read(key);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn queue_read(&mut self, key: SocketKey) {
        let slot = &mut self.slots[key as usize];
        if !slot.queued {
            slot.queued = true;
            self.reads.push_back(key);
        }
    }

    /// Holds a socket's bytes back until [`Sockets::resume_reading`].
    pub(crate) fn pause(&mut self, key: SocketKey) {
        if let Some(slot) = self.slots.get_mut(key as usize) {
            if let Some(pipe) = slot.pipe() {
                pipe.borrow_mut().pause();
                return;
            }
            slot.paused = true;
            slot.queued = false;
            self.reads.retain(|&queued| queued != key);
        }
    }

    /// The pipe of a body has room again, or its reader is gone.
    pub(crate) fn connection_of(&self, key: SocketKey) -> Option<ConnectionRef> {
        self.slots.get(key as usize)?.connection
    }

    /// Answered polls whose next request has begun, some at a time: each is given buffers for its
    /// head, which a crowd that asks at once would otherwise hold all together.
    pub(crate) fn take_returned(&mut self) -> Vec<Idle> {
        let count = self.returned.len().min(RETURNS);
        let returned: Vec<SocketKey> = self.returned.drain(..count).collect();
        returned
            .into_iter()
            .filter_map(|key| self.remove_idle(key))
            .collect()
    }

    pub(crate) fn has_returned(&self) -> bool {
        !self.returned.is_empty()
    }

    /// Closes answered polls whose keep-alive is over, and sockets whose peer does not take the end.
    pub(crate) fn expire_parked(&mut self) {
        for queue in [&mut self.parked, &mut self.closing] {
            while let Some((_, key, generation)) =
                queue.pop_front_if(|(until, ..)| *until <= self.now)
            {
                remove_unused(&mut self.slots, key, generation);
            }
        }
    }

    /// Closes every answered poll, for a drain.
    pub(crate) fn close_parked(&mut self) {
        self.keep_alive_ms = 0;
        for (_, key, generation) in std::mem::take(&mut self.parked) {
            remove_unused(&mut self.slots, key, generation);
        }
    }

    /// A socket without a session, to be kept for at most so long.
    fn parked(&self, key: SocketKey, for_ms: u64) -> Parked {
        let generation = self.slots[key as usize].generation;
        (self.now + for_ms, key, generation)
    }

    fn remove_idle(&mut self, key: SocketKey) -> Option<Idle> {
        let slot = self.slots.get(key as usize)?;
        if slot.connection.is_some() || slot.seat.is_none() || slot.is_closing() {
            return None;
        }
        let mut slot = self.slots.remove(key as usize);
        let leftover = slot.take_leftover();
        let stream = slot.stream?;
        // A socket that the kernel no longer knows here is closed by its drop.
        epoll::delete(&*self.fd, &stream).ok()?;
        let tls = match slot.rare.map(|rare| *rare) {
            Some(Rare::Tls(tls)) => Some(tls),
            _ => None,
        };
        Some(Idle {
            stream,
            tls,
            seat: slot.seat?,
            leftover,
        })
    }
}

impl Sockets for Epoll {
    fn send(&mut self, socket: SocketKey, slices: &[IoSlice<'_>]) -> Sent {
        let slot = &mut self.slots[socket as usize];
        if let Some(pipe) = slot.pipe() {
            return pipe.borrow_mut().write(slices);
        }
        match slot.write(slices) {
            Ok(count) => Sent::Bytes(count),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Sent::Bytes(0),
                _ => Sent::Gone,
            },
        }
    }

    fn address(&self, socket: SocketKey) -> Option<IpAddr> {
        self.client(socket).map(|(address, _)| address)
    }

    fn resume_reading(&mut self, socket: SocketKey) {
        let slot = &mut self.slots[socket as usize];
        if let Some(pipe) = slot.pipe() {
            pipe.borrow_mut().resume();
            return;
        }
        slot.paused = false;
        if slot.readable {
            self.queue_read(socket);
        }
    }

    fn release(&mut self, socket: SocketKey, release: Release, departure: &Departure) {
        let mut closes = std::mem::take(&mut self.closes);
        let client = || self.client(socket).map(|(address, _)| address);
        closes.note(departure, client, self.now);
        self.closes = closes;
        let slot = &mut self.slots[socket as usize];
        if let Some(pipe) = slot.pipe() {
            pipe.borrow_mut().end();
        } else if release == Release::Reuse && self.keep_alive_ms > 0 {
            slot.connection = None;
            if std::mem::take(&mut slot.lent)
                && let Some(seat) = &mut slot.seat
            {
                seat.give_back();
            }
            if slot.has_leftover() || slot.readable {
                self.returned.push_back(socket);
            } else {
                let parked = self.parked(socket, self.keep_alive_ms);
                self.parked.push_back(parked);
            }
            return;
        } else if slot.close() && departure.cause != Cause::Peer {
            slot.connection = None;
            slot.rare = match slot.rare.take().map(|rare| *rare) {
                Some(Rare::Tls(tls)) => Some(Box::new(Rare::Closing(tls))),
                other => other.map(Box::new),
            };
            let closing = self.parked(socket, CLOSING_MS);
            self.closing.push_back(closing);
            return;
        }
        self.slots.remove(socket as usize);
    }
}

impl fmt::Debug for Epoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epoll")
            .field("sockets", &self.slots.len())
            .finish_non_exhaustive()
    }
}

/// Closes a socket, unless a session has it.
fn remove_unused(slots: &mut Slab<Slot>, key: SocketKey, generation: u32) {
    let slot = slots.get(key as usize);
    if slot.is_some_and(|slot| slot.generation == generation && slot.connection.is_none()) {
        slots.remove(key as usize);
    }
}

fn data(key: SocketKey, generation: u32) -> EventData {
    EventData::new_u64(u64::from(generation) << 32 | u64::from(key))
}

fn split(data: u64) -> (SocketKey, u32) {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves of one number"
    )]
    let halves = (data as SocketKey, (data >> 32) as u32);
    halves
}
