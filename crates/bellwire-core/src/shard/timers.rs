//! What a connection waits for, and what happens when it does not come.

use super::{
    Cause, Shard, Sockets,
    connection::{Connection, Ix, Phase, Transport},
    wheel::Coarse,
};
use crate::access::Denied;

impl<S: Sockets> Shard<S> {
    /// Plans the next look at a connection. Never later than what it waits for; a look that finds
    /// nothing to do plans the next.
    pub(super) fn plan(&mut self, ix: Ix) {
        let next = self.next_deadline(&self.connections[ix as usize]);
        let connection = &mut self.connections[ix as usize];
        if next < connection.clock.wake.map_or(u64::MAX, Coarse::ms) {
            connection.clock.wake = Some(self.wheel.plan(ix, next));
        }
    }

    pub(super) fn run_timers(&mut self) {
        let mut due = Vec::new();
        self.wheel.due(self.now.mono, &mut due);
        for ix in due {
            let Some(connection) = self.connections.get_mut(ix as usize) else {
                continue;
            };
            let wake = connection.clock.wake;
            if wake.is_none_or(|wake| wake.ms() > self.now.mono) {
                continue;
            }
            connection.clock.wake = None;
            self.look_at(ix);
            if self.connections.contains(ix as usize) {
                self.plan(ix);
            }
        }
    }

    fn next_deadline(&self, connection: &Connection) -> u64 {
        let clock = &connection.clock;
        let heartbeat = self.heartbeat_of(connection);
        let (opened, sent, heard) = (clock.opened.ms(), clock.sent.ms(), clock.heard.ms());
        let seen = seen(connection);
        let phase = match connection.phase.as_deref() {
            Some(Phase::AwaitingAuth(_)) => opened + self.settings.auth_timeout_ms,
            Some(Phase::Answered(_)) => return sent + 2 * self.settings.heartbeat_ms,
            Some(Phase::Closing { .. }) => return heard + self.settings.close_timeout_ms,
            Some(Phase::Held(held)) => held.deadline,
            Some(Phase::Attaching(_)) | None => u64::MAX,
        };
        let heartbeat = match connection.name.transport {
            Transport::Poll => u64::MAX,
            Transport::Sse => sent + heartbeat,
            Transport::WebSocket | Transport::Echo => {
                // One ping, then about as long again for an answer.
                let patience = if connection.flags.pinged {
                    2 * self.settings.heartbeat_ms
                } else {
                    heartbeat
                };
                (seen + patience).min(sent + heartbeat)
            }
        };
        phase.min(heartbeat).min(self.expiry(connection))
    }

    /// Up to an eighth less than the setting: a crowd that connected, or was sent something, at once
    /// is not pinged at once.
    fn heartbeat_of(&self, connection: &Connection) -> u64 {
        let heartbeat = self.settings.heartbeat_ms;
        heartbeat - connection.name.id.0 % (heartbeat / 8).max(1)
    }

    /// When the token or the first grant runs out, on the shard's clock.
    fn expiry(&self, connection: &Connection) -> u64 {
        let grants = connection.grants().iter().map(|grant| grant.expires);
        let first = connection
            .access
            .expires_at()
            .into_iter()
            .chain(grants)
            .min();
        first.map_or(u64::MAX, |wall| {
            self.now
                .mono
                .saturating_add(wall.saturating_sub(self.now.wall))
        })
    }

    fn look_at(&mut self, ix: Ix) {
        let now = self.now;
        let connection = &self.connections[ix as usize];
        match connection.phase.as_deref() {
            Some(Phase::Answered(_)) => {
                // Its reader takes nothing more; the next poll gets the same again.
                if now.mono >= connection.clock.sent.ms() + 2 * self.settings.heartbeat_ms {
                    self.depart(ix, Cause::Silent);
                }
                return;
            }
            Some(Phase::Closing { .. }) => {
                if now.mono >= connection.clock.heard.ms() + self.settings.close_timeout_ms {
                    self.depart(ix, Cause::Silent);
                }
                return;
            }
            Some(Phase::AwaitingAuth(_)) => {
                if now.mono >= connection.clock.opened.ms() + self.settings.auth_timeout_ms {
                    self.close(
                        ix,
                        Cause::AuthTimeout,
                        "no token came; send {\"auth\":{\"token\":…}}",
                    );
                    return;
                }
            }
            Some(Phase::Held(held)) if now.mono >= held.deadline => {
                // Answered in its turn: a crowd that asked at once is not answered at once, so
                // that only a few answers take memory at a time.
                self.make_ready(ix);
                return;
            }
            Some(Phase::Held(_) | Phase::Attaching(_)) | None => {}
        }
        if connection.access.is_expired(now.wall) {
            self.close(
                ix,
                Cause::TokenExpired,
                "the token has expired; come back with a new one",
            );
            return;
        }
        self.end_expired_grants(ix);
        self.check_heartbeat(ix);
    }

    fn check_heartbeat(&mut self, ix: Ix) {
        let Some(connection) = self.connections.get(ix as usize) else {
            return;
        };
        let heartbeat = self.heartbeat_of(connection);
        let (sent, seen, now) = (connection.clock.sent.ms(), seen(connection), self.now.mono);
        match connection.name.transport {
            Transport::Poll => {}
            Transport::Sse => {
                if now >= sent + heartbeat {
                    self.say_heartbeat(ix);
                }
            }
            Transport::WebSocket | Transport::Echo => {
                if now >= seen + 2 * self.settings.heartbeat_ms {
                    self.depart(ix, Cause::Silent);
                } else if now >= sent + heartbeat
                    || now >= seen + heartbeat && !connection.flags.pinged
                {
                    self.say_heartbeat(ix);
                }
            }
        }
    }

    /// Ends the subscriptions that only a grant allowed and that it allows no longer.
    fn end_expired_grants(&mut self, ix: Ix) {
        let now = self.now;
        let connection = &mut self.connections[ix as usize];
        if let Some(Phase::Attaching(_)) = connection.phase.as_deref() {
            // What hello waits for must not go before it; the next look comes soon.
            return;
        }
        if connection
            .grants()
            .iter()
            .all(|grant| grant.expires > now.wall)
        {
            return;
        }
        let expired: Vec<_> = connection.change_grants(|grants| {
            grants
                .extract_if(.., |grant| grant.expires <= now.wall)
                .collect()
        });
        for grant in expired {
            self.revoke_if_denied(ix, &grant.channel, &Denied::grant_expired(&grant.channel));
        }
    }
}

/// When a WebSocket's peer last showed that it is there: by what was heard of it, or, while it is not
/// listened to, by what it took.
fn seen(connection: &Connection) -> u64 {
    let clock = &connection.clock;
    if connection.flags.paused {
        clock.heard.ms().max(clock.sent.ms())
    } else {
        clock.heard.ms()
    }
}
