//! A TCP proxy in this process that breaks connections on demand: delay, stall, throttle, cut
//! with a reset or a FIN, half-close, cut after so many bytes. Tests put it between a client and
//! a server; it must not know what passes through it.

use std::{
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
    runtime::{Builder, Runtime},
    sync::{broadcast, watch},
    time::sleep,
};

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
    /// Ends each connection once it has brought the client exactly so many bytes.
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
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Starts a proxy on a free port of 127.0.0.1 that passes everything on.
    ///
    /// # Panics
    /// When the operating system has no port or no thread left.
    #[must_use]
    pub fn start(upstream: SocketAddr) -> Self {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a thread is free");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared {
            upstream,
            rules: watch::Sender::default(),
            cuts: broadcast::Sender::new(64),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            bytes_down: AtomicUsize::new(0),
        });
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            runtime: Some(runtime),
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
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

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
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
    mut cuts: broadcast::Receiver<Cut>,
) -> io::Result<()> {
    let server = TcpStream::connect(shared.upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut down = Pump {
        from: from_server,
        to: to_client,
        rules: shared.rules.subscribe(),
        passed: 0,
        counter: Some(&shared.bytes_down),
    };
    let mut up = Pump {
        from: from_client,
        to: to_server,
        rules: shared.rules.subscribe(),
        passed: 0,
        counter: None,
    };
    let (mut down_open, mut up_open) = (true, true);
    while down_open || up_open {
        let cut = tokio::select! {
            ended = down.run(), if down_open => ended?,
            ended = up.run(), if up_open => match ended? {
                Some(cut) => Some(cut),
                // What the client closes the server sees closed, and the other way round.
                None => Some(Cut::TowardsServer),
            },
            cut = cuts.recv() => Some(cut.map_err(io::Error::other)?),
        };
        match cut {
            Some(Cut::Reset) => {
                reset(down.to.as_ref());
                reset(up.to.as_ref());
                return Ok(());
            }
            Some(Cut::Fin) => {
                down.to.shutdown().await?;
                up.to.shutdown().await?;
                // A socket closed over unread bytes would send a reset, so both are read out.
                tokio::join!(discard(&mut down.from), discard(&mut up.from));
                return Ok(());
            }
            Some(Cut::TowardsServer) => {
                up.to.shutdown().await?;
                up_open = false;
            }
            Some(Cut::TowardsClient) | None => {
                down.to.shutdown().await?;
                down_open = false;
            }
        }
    }
    Ok(())
}

async fn discard(from: &mut OwnedReadHalf) {
    let mut buffer = vec![0; PIECE];
    while matches!(from.read(&mut buffer).await, Ok(read) if read > 0) {}
}

/// One direction of one connection.
struct Pump<'a> {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    rules: watch::Receiver<Rules>,
    passed: usize,
    /// Counts what goes to clients; directions without it go to the server.
    counter: Option<&'a AtomicUsize>,
}

impl Pump<'_> {
    /// Passes bytes on until the end of the stream (nothing) or until a rule ends it.
    async fn run(&mut self) -> io::Result<Option<Cut>> {
        let is_down = self.counter.is_some();
        let mut buffer = vec![0; PIECE];
        loop {
            let stalled = |rules: &Rules| {
                if is_down {
                    rules.stall_down
                } else {
                    rules.stall_up
                }
            };
            let rules = *self
                .rules
                .wait_for(|rules| !stalled(rules))
                .await
                .map_err(io::Error::other)?;
            let room = self.room(&rules);
            if room == 0 {
                return Ok(rules.cut_after.map(|(_, cut)| cut));
            }
            let piece = match rules.throttle {
                // Ten pieces a second.
                Some(rate) if is_down => room.min(rate.div_ceil(10) as usize).min(PIECE),
                _ => room.min(PIECE),
            };
            let read = tokio::select! {
                read = self.from.read(&mut buffer[..piece]) => read?,
                // A rule that changes while nothing comes counts for what comes next.
                changed = self.rules.changed() => {
                    changed.map_err(io::Error::other)?;
                    continue;
                }
            };
            if read == 0 {
                return Ok(None);
            }
            if is_down && rules.throttle.is_some() {
                sleep(Duration::from_millis(100)).await;
            }
            sleep(rules.delay).await;
            // A stall that began while this piece was on its way holds it.
            self.rules
                .wait_for(|rules| !stalled(rules))
                .await
                .map_err(io::Error::other)?;
            self.to.write_all(&buffer[..read]).await?;
            self.passed += read;
            if let Some(counter) = self.counter {
                counter.fetch_add(read, Ordering::SeqCst);
            }
        }
    }

    /// How much may pass before a rule ends the connection.
    fn room(&self, rules: &Rules) -> usize {
        match rules.cut_after {
            Some((bytes, _)) if self.counter.is_some() => bytes.saturating_sub(self.passed),
            _ => usize::MAX,
        }
    }
}
