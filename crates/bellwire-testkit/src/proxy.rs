//! A TCP proxy in this process that breaks connections on demand: delay, stall, throttle, cut
//! with a reset or a FIN, half-close, cut after so many bytes. Tests put it between a client and
//! a server; it must not know what passes through it.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{broadcast, watch},
    time::sleep,
};

use crate::between::Between;

/// Bytes that are passed on at once.
const PIECE: usize = 16 << 10;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A reset on both sides.
    Reset,
    /// A FIN on both sides.
    Fin,
    /// A FIN to the server; what it sends still arrives at the client.
    TowardsServer,
    /// A FIN to the client; what it sends still arrives at the server.
    TowardsClient,
}

/// What is done to everything that passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Time that each piece waits.
    pub delay: Duration,
    /// Nothing passes to the client, and nothing is lost.
    pub stall_down: bool,
    /// Nothing passes to the server, and nothing is lost.
    pub stall_up: bool,
    /// Bytes to the client per second.
    pub throttle: Option<u32>,
    /// Ends each connection once it has brought the client exactly so many bytes; not for
    /// [`Cut::TowardsServer`], which is about the other direction.
    pub cut_after: Option<(usize, Cut)>,
    /// New connections are reset at once.
    pub refuse: bool,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    rules: watch::Sender<Rules>,
    cuts: broadcast::Sender<Cut>,
    accepted: AtomicUsize,
    open: AtomicUsize,
    bytes_down: AtomicUsize,
}

/// A running proxy; it stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    between: Between,
}

impl Proxy {
    /// Starts a proxy on a free port of 127.0.0.1 that passes everything on.
    ///
    /// # Panics
    /// When the operating system has no port or no thread left.
    #[must_use]
    pub fn start(upstream: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            upstream,
            rules: watch::Sender::default(),
            cuts: broadcast::Sender::new(64),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            bytes_down: AtomicUsize::new(0),
        });
        let between = Between::start(|listener| accept(listener, Arc::clone(&shared)));
        Self { shared, between }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.between.address
    }

    /// Sets what is done to connections from now on, open ones included.
    pub fn set(&self, rules: Rules) {
        self.shared.rules.send_replace(rules);
    }

    /// Passes everything on again.
    pub fn heal(&self) {
        self.set(Rules::default());
    }

    /// Ends all open connections.
    pub fn cut(&self, how: Cut) {
        // Nobody listens where no connection is open.
        drop(self.shared.cuts.send(how));
    }

    /// How many connections there have been.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Bytes passed on to clients so far.
    #[must_use]
    pub fn bytes_down(&self) -> usize {
        self.shared.bytes_down.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        if shared.rules.borrow().refuse {
            reset(&client);
            continue;
        }
        // Before the task runs, so that a cut that follows the connect is not missed.
        let cuts = shared.cuts.subscribe();
        shared.open.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A connection that breaks is what this is for.
            drop(relay(client, &shared, cuts).await);
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Makes the socket answer with a reset when it is dropped.
fn reset(stream: &TcpStream) {
    // A socket whose peer is gone already refuses the option, and needs it no more.
    drop(stream.set_zero_linger());
}

async fn relay(
    client: TcpStream,
    shared: &Shared,
    cuts: broadcast::Receiver<Cut>,
) -> io::Result<()> {
    let server = TcpStream::connect(shared.upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let pump = |from, to, direction| Pump {
        from,
        to,
        direction,
        rules: shared.rules.subscribe(),
        cuts: cuts.resubscribe(),
        passed: 0,
        counter: &shared.bytes_down,
    };
    let mut up = pump(from_client, to_server, Direction::Up);
    let mut down = pump(from_server, to_client, Direction::Down);
    // The receiver that was there first has what was said while the upstream was connected.
    down.cuts = cuts;
    match both(up.run(), down.run()).await? {
        Ending::Closed => {}
        Ending::Reset => {
            reset(down.to.as_ref());
            reset(up.to.as_ref());
        }
        Ending::Fin => {
            down.to.shutdown().await?;
            up.to.shutdown().await?;
            // A socket closed over unread bytes would send a reset, so both are read out.
            tokio::join!(discard(&mut down.from), discard(&mut up.from));
        }
    }
    Ok(())
}

/// Runs two directions until both are closed or one is cut.
async fn both(
    up: impl Future<Output = io::Result<Ending>>,
    down: impl Future<Output = io::Result<Ending>>,
) -> io::Result<Ending> {
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    let (mut up_open, mut down_open) = (true, true);
    while up_open || down_open {
        let ending = tokio::select! {
            ending = &mut up, if up_open => {
                up_open = false;
                ending?
            }
            ending = &mut down, if down_open => {
                down_open = false;
                ending?
            }
        };
        if ending != Ending::Closed {
            return Ok(ending);
        }
    }
    Ok(Ending::Closed)
}

async fn discard(from: &mut OwnedReadHalf) {
    let mut buffer = vec![0; PIECE];
    while matches!(from.read(&mut buffer).await, Ok(read) if read > 0) {}
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What a direction came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Its end was passed on; the other direction goes on.
    Closed,
    /// Both directions end, with a reset.
    Reset,
    /// Both directions end, each with a FIN.
    Fin,
}

/// One direction of one connection.
struct Pump<'a> {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    direction: Direction,
    rules: watch::Receiver<Rules>,
    cuts: broadcast::Receiver<Cut>,
    passed: usize,
    /// Counts what goes to clients.
    counter: &'a AtomicUsize,
}

impl Pump<'_> {
    /// Passes bytes on until the end of the stream or a cut.
    async fn run(&mut self) -> io::Result<Ending> {
        let mut buffer = vec![0; PIECE];
        loop {
            let rules = *self.rules.borrow_and_update();
            let room = self.room(&rules);
            if room == 0
                && let Some((_, cut)) = rules.cut_after
                && let Some(ending) = self.cut(cut).await?
            {
                return Ok(ending);
            }
            let (piece, stalled) = (self.piece(&rules, room), self.is_stalled(&rules));
            // What waits here was not read yet, so nothing is lost. A cut or a rule that was there
            // before it comes first.
            tokio::select! {
                biased;
                cut = self.cuts.recv() => {
                    if let Some(ending) = self.cut(cut.map_err(io::Error::other)?).await? {
                        return Ok(ending);
                    }
                }
                changed = self.rules.changed() => changed.map_err(io::Error::other)?,
                read = self.from.read(&mut buffer[..piece]), if room > 0 && !stalled => {
                    let read = read?;
                    if read == 0 {
                        self.to.shutdown().await?;
                        return Ok(Ending::Closed);
                    }
                    self.pass(&rules, &buffer[..read]).await?;
                }
            }
        }
    }

    async fn pass(&mut self, rules: &Rules, bytes: &[u8]) -> io::Result<()> {
        if self.direction == Direction::Down && rules.throttle.is_some() {
            sleep(Duration::from_millis(100)).await;
        }
        if !rules.delay.is_zero() {
            sleep(rules.delay).await;
        }
        self.to.write_all(bytes).await?;
        self.passed += bytes.len();
        if self.direction == Direction::Down {
            self.counter.fetch_add(bytes.len(), Ordering::SeqCst);
        }
        Ok(())
    }

    /// Does to this direction what a cut says, if it concerns it.
    async fn cut(&mut self, cut: Cut) -> io::Result<Option<Ending>> {
        Ok(match (cut, self.direction) {
            (Cut::Reset, _) => Some(Ending::Reset),
            (Cut::Fin, _) => Some(Ending::Fin),
            (Cut::TowardsServer, Direction::Up) | (Cut::TowardsClient, Direction::Down) => {
                self.to.shutdown().await?;
                Some(Ending::Closed)
            }
            (Cut::TowardsServer, Direction::Down) | (Cut::TowardsClient, Direction::Up) => None,
        })
    }

    fn is_stalled(&self, rules: &Rules) -> bool {
        match self.direction {
            Direction::Up => rules.stall_up,
            Direction::Down => rules.stall_down,
        }
    }

    /// How much may pass before a rule ends the connection.
    fn room(&self, rules: &Rules) -> usize {
        match rules.cut_after {
            Some((bytes, _)) if self.direction == Direction::Down => {
                bytes.saturating_sub(self.passed)
            }
            _ => usize::MAX,
        }
    }

    /// How much is passed on at once; a throttled line takes ten pieces a second.
    fn piece(&self, rules: &Rules, room: usize) -> usize {
        let piece = match rules.throttle {
            Some(rate) if self.direction == Direction::Down => rate.div_ceil(10) as usize,
            _ => PIECE,
        };
        piece.min(room).min(PIECE)
    }
}
