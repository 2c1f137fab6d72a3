//! How often users may publish, and addresses may publish and connect, over all of their connections.
//!
//! One per node, because a user's connections live on any shard. Sessions ask through the gate, the
//! HTTP layer directly, the accept loop for addresses. Behind a lock that is held for one look-up,
//! and only where a bound is set.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bellwire_core::{
    access::{Access, Bearer},
    rate::{Allowances, Rate, TooFast},
    time::Now,
};

use crate::{
    access::{Proxies, ipv6_network},
    config::Limits,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Rates {
    proxies: Arc<Proxies>,
    /// What peers can't foresee.
    secret: RandomState,
    user: Bound,
    address: Bound,
    connect: Bound,
}

#[derive(Debug)]
struct Bound {
    limit: &'static str,
    allowances: Option<Mutex<Allowances>>,
}

impl Bound {
    fn new(limit: &'static str, rate: Option<Rate>, max_keys: usize) -> Self {
        Self {
            limit,
            allowances: rate.map(|rate| Mutex::new(Allowances::new(rate, max_keys))),
        }
    }

    /// Takes one; the key is asked for only where there is a bound.
    fn take(&self, key: impl FnOnce() -> Option<u64>, now: Now) -> Result<(), TooFast> {
        let Some(allowances) = &self.allowances else {
            return Ok(());
        };
        let Some(key) = key() else { return Ok(()) };
        let mut allowances = allowances.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = self.limit;
        let taken = allowances.take(key, now.mono);
        taken.map_err(|wait_ms| TooFast { limit, wait_ms })
    }
}

impl Rates {
    pub(crate) fn new(limits: &Limits, proxies: Arc<Proxies>) -> Self {
        let bound = |limit, rate| Bound::new(limit, rate, limits.max_rate_keys);
        Self {
            proxies,
            secret: RandomState::new(),
            user: bound("limits.publish_rate_per_user", limits.publish_rate_per_user),
            address: bound(
                "limits.publish_rate_per_address",
                limits.publish_rate_per_address,
            ),
            connect: bound(
                "limits.connect_rate_per_address",
                limits.connect_rate_per_address,
            ),
        }
    }

    /// Takes one publish of a bearer at an address. API keys are the application's own.
    pub(crate) fn publish(
        &self,
        access: &Access,
        address: impl FnOnce() -> Option<IpAddr>,
        now: Now,
    ) -> Result<(), TooFast> {
        if matches!(access.bearer(), Bearer::ApiKey(_)) {
            return Ok(());
        }
        let user = || Some(self.secret.hash_one(access.user()?.as_str()));
        self.user.take(user, now)?;
        self.address.take(|| self.key(address()?), now)
    }

    /// Takes one connection of an address.
    pub(crate) fn connect(&self, address: IpAddr, now: Now) -> Result<(), TooFast> {
        self.connect.take(|| self.key(address), now)
    }

    /// An address as a key; nothing for those without bounds.
    fn key(&self, address: IpAddr) -> Option<u64> {
        if self.proxies.is_exempt(address) {
            return None;
        }
        Some(match ipv6_network(address) {
            Some(network) => self.secret.hash_one(network),
            None => self.secret.hash_one(address.to_canonical()),
        })
    }
}
