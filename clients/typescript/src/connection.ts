// Decides what the client's one connection does next: which link is open, which one is coming,
// when to try again and on what. Links wait (transports/), positions are kept (positions.ts),
// transports are ranked (choose.ts); this is where what happened becomes what to do.
//
// At most two links are open: the one in use, and the next one, which takes over once it is
// greeted. So a change of channels or transport costs no message and no silence.

import { backoff } from "./backoff.js";
import type { Tell } from "./channel.js";
import type { Chooser } from "./choose.js";
import type { Credentials } from "./credentials.js";
import { createPositions } from "./positions.js";
import { type Timer, createTimer } from "./timer.js";
import type { Bye, Envelope, Fate, Hello, Link, Open, Platform, Sink } from "./transports/link.js";
import { fateOf } from "./transports/request.js";
import type { Gap, State, StateName, TransportName } from "./types.js";

/** How long a link, and its token, may be silent before it is greeted, in ms; longer after each round in which none was. */
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
const WEIGHT: { [fate in Fate]?: number } = { failed: 1, muted: 2, silent: 2, status: 3 };

/** What the connection says to the client. */
export interface Listener {
  tell: Tell;
  /** The state is new, or the uplink may be. */
  state(state: State): void;
}

export interface Connection {
  readonly state: State;
  want(channel: string, since: string): void;
  unwant(channel: string): void;
  /** Sees to it that what is open is what is wanted. Called after each change of either. */
  settle(): void;
  /** Publishes on the link, where that can be done. */
  publish(): Link["publish"];
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
  greeted?: number;
  timer: Timer;
}

export function createConnection(
  platform: Platform,
  transports: Record<TransportName, Open>,
  chooser: Chooser,
  credentials: Credentials,
  listener: Listener,
): Connection {
  const { now } = Date;
  const positions = createPositions();
  let state = { current: "idle", previous: "idle", reason: "" } as State;
  const wanted = new Set<string>();
  let used: Active | undefined;
  let next: Active | undefined;
  let heartbeat = HEARTBEAT;
  /** Failures in a row, rounds until a transport works, and when the outage began. */
  let failures = 0;
  let rounds = 1;
  let outage: number | undefined;
  /** The transports that have worked, how heavily each has failed of late, and those given up, and why. */
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
  const pick = (): TransportName | undefined => chooser.ranked().find((name) => !given.has(name));
  const drop = (active: Active | undefined): void => {
    active?.timer();
    active?.link?.close();
    if (active === next) next = undefined;
    if (active === used) used = undefined;
  };
  const retry = createTimer(() => open(pick()));
  const pause = (reason: string, ms: number): void => {
    retry(ms);
    become("waiting", reason, pick(), now() + ms);
  };
  /** Drops all links and plans. */
  const rest = (current: StateName, reason = ""): void => {
    drop(used);
    drop(next);
    retry();
    again();
    renewal();
    given.clear();
    become(current, reason);
  };

  const settle = (): void => {
    if (state.current === "closed") return;
    if (!wanted.size) return rest("idle");
    const channels = positions.together([...wanted]);
    if (!used) return void (state.current === "waiting" || open(pick()));
    const { transport, link } = used;
    const target = (used.greeted && chooser.ranked()[0]) || transport;
    const fits = (active?: Active): boolean => active?.transport === target && `${active?.channels}` === `${channels}`;
    if (fits(next)) return;
    if (target === transport && (link?.update || fits(used))) {
      drop(next);
      if (!fits(used)) link?.update?.((used.channels = channels));
    } else open(target);
    again(next ? undefined : chooser.again(transport) + 1);
  };
  /** Tries a better transport again. */
  const again = createTimer(settle);

  /** Opens a link: the next one where one is in use, else the one to use. */
  const open = async (transport: TransportName = "poll"): Promise<void> => {
    const channels = positions.together([...wanted]);
    const active: Active = { transport, channels, heard: now(), timer: createTimer(() => watch(active)) };
    if (used?.greeted) {
      drop(next);
      next = active;
    } else {
      drop(used);
      used = active;
      become("connecting", state.reason, transport);
    }
    watch(active);
    let fate: Fate = "token";
    try {
      await credentials.obtain();
      if (!holds(active)) return;
      active.heard = now();
      // A later link plans again what is too far off for a timer.
      renewal(credentials.renewAt - now());
      fate = "status";
      active.link = transports[transport](
        platform,
        {
          channels,
          cursor: positions.cursor,
          token: credentials.bearer,
          fallback: [...given.values()],
        },
        sinkOf(active),
      );
    } catch (error) {
      lose(active, fate, error);
    }
  };

  /** What the link of `active` says counts only as long as that is in use, or coming. */
  const sinkOf = (active: Active): Sink => {
    const life = (): void => void (active.heard = now());
    return {
      life,
      say(word, said: Partial<Hello & Bye & Gap & Envelope> & { channel: string }) {
        if (!holds(active)) return;
        life();
        if (word === "hello") greet(active, said as Hello);
        else if (word === "bye") {
          const fate = fateOf(said.code!);
          lose(active, fate === "token" ? fate : said.reconnect ? "busy" : "stop", `${said.code} ${said.reason}`, said.retry_ms);
          // What else a link says of channels that were left is of no use, and no position of theirs.
        } else if (!wanted.has(said.channel) && !/^@/.test(said.channel)) return;
        else if (word === "denied") {
          positions.refuse(said.channel);
          listener.tell(word, said);
        } else if (
          /^(message|gap)$/.test(word) &&
          // During a change of links the reader may be past a gap already, too.
          positions.pass(said.cursor ?? said.id!, said.channel, said.reason === "position_unknown")
        )
          listener.tell(word as "gap", said);
      },
      lost: (...loss) => lose(active, ...loss),
    };
  };

  const greet = (active: Active, { cursor, heartbeat_ms = heartbeat, channels = active.channels }: Hello): void => {
    const { transport, greeted } = active;
    if (!greeted) {
      if (active === next) {
        drop(used);
        used = active;
        next = undefined;
      }
      active.greeted = now();
      heartbeat = heartbeat_ms;
      worked.add(transport);
      chooser.unblock(transport);
      // That this one works shows that those given up are blocked, and not the server gone.
      given.forEach((_, name) => chooser.block(name));
      given.clear();
      rounds = 1;
      outage = undefined;
      watch(active);
    }
    positions.begin(channels, cursor, !greeted);
    for (const channel of channels) listener.tell("open", { channel });
    become("connected", "", transport);
    settle();
  };

  const watch = (active: Active): void => {
    const { greeted, heard } = active;
    const left = heard + (greeted ? heartbeat * DEAD : PATIENCE * Math.min(4, rounds)) - now();
    if (left > 0) active.timer(left);
    else lose(active, greeted ? "silent" : active.link ? "muted" : "token");
  };

  const lose = (active: Active, fate: Fate, detail: unknown = fate, wait = 0): void => {
    if (!holds(active)) return;
    const reason = `${detail}`;
    const { transport, greeted } = active;
    const coming = active === next;
    const final = credentials.isFinal(fate);
    const delay = (lasted: number): number => Math.min(MAX_WAIT, wait) + backoff(failures++, lasted);
    drop(active);
    if (coming) {
      // The link in use stays. A better transport is left alone for a while; other changes go on.
      if (transport !== used?.transport) chooser.block(transport);
      again(delay(Infinity));
    } else if (next) {
      used = next;
      next = undefined;
      become("connecting", reason, used.transport);
    } else if (final) {
      for (const channel of active.channels) {
        positions.refuse(channel);
        listener.tell("denied", { channel, check: "connection", detail: reason });
      }
      // Those that start at their earliest may not have been asked for yet.
      if (active.channels.length < wanted.size) settle();
      else rest("stopped", reason);
    } else {
      if (greeted && now() - greeted >= GOOD_UPTIME) {
        failures = 0;
        strikes.clear();
      }
      outage ??= now();
      // A link that was live and fails has ended as links do; it says nothing against its transport.
      const weight = greeted && fate === "failed" ? 0 : WEIGHT[fate];
      const moves = weight && strike(transport, fate, weight);
      // Where one has worked it is more likely the server that is gone, and all of its clients wait.
      pause(reason, moves && !worked.size ? 0 : delay(now() - outage));
    }
  };

  /** Counts a failure. Returns whether another transport is to be tried. */
  const strike = (transport: TransportName, fate: Fate, weight: number): boolean => {
    const sum = (strikes.get(transport) ?? 0) + weight;
    strikes.set(transport, sum);
    if (worked.has(transport) && sum < PATIENT) return false;
    given.set(transport, `${transport}-${fate}`);
    if (pick()) return true;
    // None worked: it is the server, or the network.
    given.clear();
    strikes.clear();
    rounds++;
    return false;
  };

  const renewal = createTimer(async () => {
    const token = await credentials.obtain(true).catch(() => {});
    // Who rests needs none, and who waits plans again with the next link.
    if (!used) return;
    renewal(credentials.renewAt - now());
    if (!used.greeted || !token) return;
    if (used.link?.renew) used.link.renew(token);
    else open(used.transport);
  });

  return {
    get state() {
      return state;
    },
    want(channel, since) {
      positions.unwant(channel);
      positions.want(channel, since);
      wanted.add(channel);
    },
    unwant(channel) {
      positions.unwant(channel);
      wanted.delete(channel);
      // The link in use fits no more, also when the channel is wanted again before it was replaced.
      if (used) used.channels = [];
    },
    settle,
    publish: () => (used?.greeted && used.link?.publish) as Link["publish"],
    nudge(network) {
      if (network) chooser.unblock();
      if (used?.greeted) watch(used);
      if (state.current === "waiting") {
        retry();
        failures = 0;
        open(pick());
        // Only a new link shows whether the old one leads anywhere.
      } else if (used?.greeted && (network || now() - used.heard > heartbeat)) open(used.transport);
    },
    suspend() {
      if (!used) return;
      drop(used);
      drop(next);
      pause("hidden", MAX_WAIT);
    },
    close: () => rest("closed"),
  };
}
