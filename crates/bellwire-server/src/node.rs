//! A node: the shards, what they share, its listeners, and its end.

use std::{io, net::SocketAddr, sync::Arc, thread::JoinHandle};

use bellwire_core::{
    engine::MaxCatchup,
    memory::MemoryEngine,
    position::Epoch,
    shard::{PlantedFault, Settings, SlowConsumerPolicy},
};
use tokio::sync::watch;

use crate::{
    access::{Policy, Proxies},
    config::{Config, SlowConsumer},
    drain::{DrainState, drain},
    http::Intake,
    listen::{ListenError, SocketOptions, bind},
    rates::Rates,
    shard::{Census, Clock, Inbox, MakeEngine, ShardSeed, Shared, random_u64, spawn},
    tls::{Encryption, PairError},
    warnings,
};

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address can't be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The certificate is no good.
    #[error("{setting}: {message}")]
    Certificate {
        /// The setting to look at.
        setting: &'static str,
        /// What is wrong, and what to do.
        message: String,
    },
    /// The operating system refuses a thread or a descriptor.
    #[error("the operating system refuses: {0}")]
    System(#[from] io::Error),
}

impl From<PairError> for StartError {
    fn from(PairError { setting, message }: PairError) -> Self {
        Self::Certificate { setting, message }
    }
}

/// What tests may replace to see that a mistake would be found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heart {
    pub(crate) epoch: Epoch,
    pub(crate) engine: MakeEngine,
    pub(crate) fault: Option<PlantedFault>,
}

impl Default for Heart {
    fn default() -> Self {
        Self {
            epoch: Epoch(random_u64()),
            engine: |config| Box::new(MemoryEngine::new(config)),
            fault: None,
        }
    }
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    shared: Arc<Shared>,
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    end: watch::Sender<bool>,
}

impl Node {
    /// Binds the listeners and starts the shards. The descriptor limit is raised to its hard
    /// limit first.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::start_as(config, Heart::default())
    }

    pub(crate) fn start_as(config: Config, heart: Heart) -> Result<Self, StartError> {
        raise_descriptor_limit();
        let shards = config.shard_count();
        let options = SocketOptions {
            send_buffer_bytes: config.limits.send_buffer_bytes,
            user_timeout: config.heartbeat * 2,
        };
        let listeners = bind(config.listen, shards, options, "--listen")?;
        let address = listeners[0].local_addr()?;
        let mut admin = match config.admin_address() {
            Some(address) => bind(address, 1, options, "--admin-listen")?.pop(),
            None => None,
        };
        let admin_address = admin
            .as_ref()
            .map(std::net::TcpListener::local_addr)
            .transpose()?;
        let policy = Policy::new(&config)?;
        let encryption = Encryption::of(&config.tls)?;
        let mut shared = share(config, shards, &policy, encryption);
        shared.settings.planted = heart.fault;
        let shared = Arc::new(shared);
        let (end, ended) = watch::channel(false);
        let own_cores = shards == available_cores();
        let threads = listeners
            .into_iter()
            .enumerate()
            .map(|(id, listener)| {
                spawn(ShardSeed {
                    id,
                    shared: Arc::clone(&shared),
                    policy: Arc::clone(&policy),
                    epoch: heart.epoch,
                    engine: heart.engine,
                    listener,
                    admin: admin.take(),
                    core: (own_cores && shards > 1).then_some(id),
                    ended: ended.clone(),
                })
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            shared,
            address,
            admin_address,
            threads,
            end,
        })
    }

    /// The configuration it runs with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operations answer, if not on the main listener.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// The key of `--dev-public`.
    #[must_use]
    pub fn dev_key(&self) -> Option<&str> {
        self.shared.dev_key.as_deref()
    }

    /// Watches over the node until it has ended by itself, which is a fault. A certificate that
    /// changes on disk is taken up meanwhile.
    pub async fn watch(&self) {
        tokio::join!(warnings::watch(&self.shared), async {
            if let Some(encryption) = &self.shared.encryption {
                encryption.watch().await;
            }
        });
    }

    /// Reads the certificate anew. One that is no good is reported in the log and changes
    /// nothing; connections are not touched either way.
    pub fn reload(&self) {
        if let Some(encryption) = &self.shared.encryption {
            encryption.reload();
        }
    }

    /// Drains the node (design D11): not ready, connections away at a steady rate, then the end.
    /// Cut short when `hurry` turns true.
    pub async fn drain(&self, hurry: watch::Receiver<bool>) {
        drain(&self.shared, hurry).await;
    }

    /// Ends the threads and waits for them.
    ///
    /// # Errors
    /// A shard had ended with an error of the operating system.
    ///
    /// # Panics
    /// Where a shard panicked.
    pub fn stop(self) -> io::Result<()> {
        self.end.send_replace(true);
        for thread in self.threads {
            thread.join().expect("a shard does not panic")?;
        }
        Ok(())
    }
}

fn share(config: Config, shards: usize, policy: &Policy, encryption: Option<Encryption>) -> Shared {
    let limits = &config.limits;
    let settings = Settings {
        namespaces: Arc::new(config.namespaces()),
        heartbeat_ms: millis(config.heartbeat),
        retry_ms: (millis(config.retry.min), millis(config.retry.max)),
        auth_timeout_ms: millis(limits.auth_timeout),
        max_channels_per_connection: limits.max_channels_per_connection,
        max_cursor_bytes: limits.max_cursor_bytes,
        max_message_bytes: limits.max_message_bytes,
        max_echo_bytes: limits.max_echo_bytes,
        max_catchup: MaxCatchup {
            count: limits.max_catchup,
            bytes: limits.max_catchup_bytes,
        },
        catchup_bytes: limits.catchup_bytes / shards,
        poll_bytes: limits.poll_bytes / shards,
        compression_memory: limits.compression_memory / shards,
        publish_rate: limits.publish_rate_per_connection,
        subscribe_rate: limits.subscribe_rate_per_connection,
        max_rate_keys: limits.max_rate_keys,
        slow_consumer: match config.slow_consumer {
            SlowConsumer::Gap => SlowConsumerPolicy::Continue,
            SlowConsumer::Close => SlowConsumerPolicy::Close,
        },
        ..Settings::default()
    };
    let proxies = Arc::new(Proxies::new(config.trusted_proxy.clone()));
    let census = Census::new(
        limits.connections(),
        limits.max_connections_per_address,
        Arc::clone(&proxies),
    );
    Shared {
        inboxes: (0..shards)
            .map(|_| Inbox::new(limits.shard_inbox_bytes))
            .collect(),
        settings,
        census: Arc::new(census),
        rates: Arc::new(Rates::new(limits, Arc::clone(&proxies))),
        proxies,
        publishes: Intake::of_publishes(limits),
        lists: Intake::of_lists(limits),
        drain: DrainState::default(),
        clock: Clock::start(),
        dev_key: policy.dev_key().map(|key| key.text().to_owned()),
        encryption,
        config,
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Many connections are many descriptors; the soft limit is there for programs that use select.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the descriptor limit could not be raised");
    }
}
