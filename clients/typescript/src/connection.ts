// Decides what the client's one connection does next: which link is open, which one is coming,
// when to try again and on what. Links wait (transports/), positions are kept (positions.ts),
// transports are ranked (choose.ts); this is where what happened becomes what to do.
//
// At most two links are open: the one in use, and the next one, which takes over once it is
// greeted. So a change of channels or transport costs no message and no silence.

import { backoff } from "./backoff.js";
import type { Chooser } from "./choose.js";
import type { Credentials } from "./credentials.js";
import { createPositions } from "./positions.js";
import type { Draft, Envelope, Fate, Link, Open, Platform, Refused, Sink, Words } from "./transports/link.js";
import { fateOf } from "./transports/request.js";
import type { Denied, Gap, Receipt, State, StateName, TransportName } from "./types.js";

/** How long a link may take to be greeted, in ms; longer after each round in which none was. */
const PATIENCE = 3_000;
/** A link that stood this long, in ms, makes the next outage start over. */
const GOOD_UPTIME = 10_000;
/** The interval of heartbeats until a greeting announces one, in ms. */
const HEARTBEAT = 20_000;
/** Intervals of silence after which a link is dead. */
const DEAD = 1.5;
/** The longest absence that a server may ask for, in ms. */
const MAX_WAIT = 300_000;
/** A transport that worked before is given up after failures of this weight, by how they fail. */
const PATIENT = 3;
const WEIGHT: { [fate in Fate]?: number } = { failed: 1, muted: 1.5, silent: 1.5, status: 3 };

/** What the connection says to the client. */
export interface Listener {
  message(envelope: Envelope): void;
  gap(gap: Gap): void;
  denied(denied: Denied): void;
  /** These channels are live: what is published from here on arrives. */
  open(channels: readonly string[]): void;
  state(state: State): void;
  /** The uplink may have changed. */
  ready(): void;
}

export interface Connection {
  readonly state: State;
  add(channel: string, since: string): void;
  remove(channel: string): void;
  /** Sees to it that what is open is what is wanted. Called after each change of either. */
  settle(): void;
  /** Publishes on the link, where that can be done. */
  publish(): ((draft: Draft) => Promise<Receipt | Refused | undefined>) | undefined;
  /** The outside may have changed: the network, or whether anybody looks. */
  nudge(network?: boolean): void;
  /** The page is put away, connections included; `nudge` brings it back. */
  suspend(): void;
  close(): void;
}

interface Active {
  transport: TransportName;
  channels: readonly string[];
  link?: Link;
  /** When something was last heard, and when it was greeted. */
  heard: number;
  since?: number;
  timer?: Timer;
}

type Timer = ReturnType<typeof setTimeout>;

export function createConnection(
  platform: Platform,
  transports: Record<TransportName, Open>,
  chooser: Chooser,
  credentials: Credentials,
  listener: Listener,
): Connection {
  const { now } = Date;
  const positions = createPositions();
  let state: State = { current: "idle", previous: "idle", reason: "", transport: undefined, retryAt: undefined };
  let wanted: readonly string[] = [];
  let used: Active | undefined;
  let next: Active | undefined;
  let retry: Timer | undefined;
  /** Tries a better transport again. */
  let again: Timer | undefined;
  let renewal: Timer | undefined;
  let heartbeat = HEARTBEAT;
  /** Failures in a row, rounds in which no transport worked, and when the outage began. */
  let failures = 0;
  let rounds = 0;
  let outage: number | undefined;
  /** Transports that have worked, how often each has failed since, and those given up, and why. */
  const worked = new Set<TransportName>();
  const strikes = new Map<TransportName, number>();
  const given = new Map<TransportName, string>();

  const become = (current: StateName, reason: string, transport?: TransportName, retryAt?: number): void => {
    const { current: previous } = state;
    if (previous === "closed" || (previous === current && state.transport === transport && !retryAt)) return;
    listener.state((state = { current, previous, reason, transport, retryAt }));
  };
  const holds = (active: Active): boolean => active === used || active === next;
  /** The best transport that has not been given up in this round. */
  const pick = (): TransportName | undefined => chooser.order().find((name) => !given.has(name));
  const drop = (active: Active | undefined): void => {
    clearTimeout(active?.timer);
    active?.link?.close();
    if (active === next) next = undefined;
    if (active === used) used = undefined;
  };
  const stopRetrying = (): void => {
    clearTimeout(retry);
    retry = undefined;
  };
  const pause = (reason: string, ms: number): void => {
    retry = setTimeout(() => {
      retry = undefined;
      settle();
    }, ms);
    become("waiting", reason, pick(), now() + ms);
  };
  /** Drops all links and plans. */
  const rest = (current: StateName, reason: string): void => {
    drop(used);
    drop(next);
    stopRetrying();
    clearTimeout(again);
    clearTimeout(renewal);
    given.clear();
    become(current, reason);
  };

  const settle = (): void => {
    if (state.current === "closed") return;
    if (!wanted.length) return rest("idle", "");
    const channels = positions.together(wanted);
    if (!used) {
      if (!retry) open(pick());
      return;
    }
    const target = used.since ? chooser.order()[0] : used.transport;
    const changes = !same(used.channels, channels);
    if (target === used.transport && (!changes || used.link?.update)) {
      drop(next);
      if (changes) used.link?.update?.((used.channels = channels));
    } else if (!next || next.transport !== target || !same(next.channels, channels)) open(target);
    clearTimeout(again);
    if (!next && used) {
      const wait = chooser.again(used.transport);
      if (wait < Infinity) again = setTimeout(settle, wait + 1);
    }
  };

  /** Opens a link: the next one where one is in use, else the one to use. */
  const open = (transport: TransportName = "poll"): void => {
    const active: Active = { transport, channels: positions.together(wanted), heard: now() };
    if (used?.since) {
      drop(next);
      next = active;
    } else {
      drop(used);
      used = active;
      become("connecting", state.reason, transport);
    }
    active.timer = setTimeout(
      () => lose(active, "muted"),
      PATIENCE * Math.min(4, rounds + 1),
    );
    void launch(active);
  };

  const launch = async (active: Active): Promise<void> => {
    const { transport, channels } = active;
    let fate: Fate = "token";
    try {
      await credentials.get();
      if (!holds(active)) return;
      planRenewal();
      const all = chooser.all();
      fate = "status";
      active.link = transports[transport](
        platform,
        {
          channels,
          cursor: positions.cursor,
          token: () => credentials.token,
          fallback: all.slice(0, all.indexOf(transport)).flatMap((name) => given.get(name) ?? []),
          heartbeat: () => heartbeat,
        },
        sinkOf(active),
      );
    } catch (error) {
      lose(active, fate, error);
    }
  };

  /** What the link of `active` says counts only as long as that is in use, or coming. */
  const sinkOf = (active: Active): Sink => {
    const current =
      <A extends unknown[]>(act: (...args: A) => void) =>
      (...args: A): void => {
        if (!holds(active)) return;
        active.heard = now();
        act(...args);
      };
    const words: Words = {
      hello: ({ cursor, heartbeat_ms }) => greet(active, cursor, heartbeat_ms),
      message(envelope) {
        if (positions.pass(envelope.id, envelope.channel)) listener.message(envelope);
      },
      gap(gap) {
        // During a change of links the reader may be past a gap already.
        if (positions.pass(gap.cursor, gap.channel, gap.reason === "position_unknown")) listener.gap(gap);
      },
      denied(denied) {
        positions.refuse(denied.channel);
        listener.denied(denied);
      },
      bye({ code, reason, reconnect, retry_ms }) {
        const fate = fateOf(code);
        lose(active, fate === "stop" && reconnect ? "busy" : fate, `${code} ${reason}`, retry_ms);
      },
    };
    return {
      life: current(() => {}),
      say: current((word, payload) => words[word as keyof Words]?.(payload as never)),
      covered: current(positions.advance),
      attached: current((channel, cursor) => {
        positions.begin([channel], cursor);
        listener.open([channel]);
        settle();
      }),
      lost: current((fate, detail, wait) => lose(active, fate, detail, wait)),
    };
  };

  const greet = (active: Active, cursor: string, interval = heartbeat): void => {
    if (active === next) {
      drop(used);
      used = active;
      next = undefined;
    }
    active.since = now();
    heartbeat = interval;
    positions.begin(active.channels, cursor, true);
    listener.open(active.channels);
    worked.add(active.transport);
    chooser.clear(active.transport);
    // That this one works shows that those given up are blocked, and not the server gone.
    for (const name of given.keys()) chooser.block(name);
    given.clear();
    rounds = 0;
    outage = undefined;
    watch(active);
    become("connected", "", active.transport);
    settle();
    listener.ready();
  };

  const watch = (active: Active): void => {
    clearTimeout(active.timer);
    const left = active.heard + heartbeat * DEAD - now();
    if (left > 0) active.timer = setTimeout(() => watch(active), left);
    else lose(active, "silent");
  };

  const lose = (active: Active, fate: Fate, detail: unknown = fate, wait = 0): void => {
    if (!holds(active)) return;
    const reason = `${detail}`;
    const { transport, since } = active;
    const coming = active === next;
    drop(active);
    if (fate === "token") credentials.expire();
    wait = Math.min(MAX_WAIT, wait);
    const delay = (lasted: number): number => wait + backoff(failures++, lasted, Math.random());
    if (coming) {
      // The link in use stays. A better transport is left alone for a while; other changes go on.
      if (transport !== used?.transport) chooser.block(transport);
      clearTimeout(again);
      again = setTimeout(settle, delay(Infinity));
      return;
    }
    if (next) {
      used = next;
      next = undefined;
      return become("connecting", reason, used.transport);
    }
    if (fate === "stop" || (fate === "token" && !credentials.renewable)) {
      for (const channel of wanted) listener.denied({ channel, check: "connection", detail: reason });
      return rest("stopped", reason);
    }
    if (since && now() - since >= GOOD_UPTIME) {
      failures = 0;
      strikes.clear();
    }
    outage ??= now();
    // A link that was live and fails has ended as links do; it says nothing against its transport.
    const moved = !(since && fate === "failed") && strike(transport, fate);
    pause(reason, moved ? 0 : delay(now() - outage));
  };

  /** Counts a failure. Returns whether another transport is to be tried, at once. */
  const strike = (transport: TransportName, fate: Fate): boolean => {
    const weight = WEIGHT[fate] ?? 0;
    const sum = (strikes.get(transport) ?? 0) + weight;
    strikes.set(transport, sum);
    if (!weight || (worked.has(transport) && sum < PATIENT)) return false;
    given.set(transport, `${transport}-${fate}`);
    if (pick()) return true;
    // None worked: it is the server, or the network.
    given.clear();
    strikes.clear();
    rounds++;
    return false;
  };

  const planRenewal = (): void => {
    clearTimeout(renewal);
    const left = credentials.renewAt - now();
    // Longer ones would overflow the timer; a later link plans again.
    if (left < 2 ** 31) renewal = setTimeout(() => credentials.get(true).then(present, () => {}), left);
  };
  /** Shows a renewed token. Polls take it along by themselves. */
  const present = (token: string | undefined): void => {
    planRenewal();
    if (!used?.since || !token) return;
    if (used.link?.renew) used.link.renew(token);
    else if (used.transport === "sse") open("sse");
  };

  return {
    get state() {
      return state;
    },
    add(channel, since) {
      positions.add(channel, since);
      wanted = [...wanted, channel];
    },
    remove(channel) {
      positions.remove(channel);
      wanted = wanted.filter((name) => name !== channel);
    },
    settle,
    publish: () => (used?.since ? used.link?.publish : undefined),
    nudge(network) {
      if (network) chooser.clear();
      if (retry) {
        stopRetrying();
        failures = 0;
        return settle();
      }
      if (!used?.since) return;
      watch(used);
      // Only a new link shows whether the old one leads anywhere.
      if (used && (network || now() - used.heard > heartbeat)) open(used.transport);
    },
    suspend() {
      if (!used) return;
      drop(used);
      drop(next);
      pause("hidden", MAX_WAIT);
    },
    close: () => rest("closed", ""),
  };
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name) => b.includes(name));
}
