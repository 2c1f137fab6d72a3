// A storm: clients on each transport behind proxies of their own, a stream of publications, and
// faults drawn from a seed. Says what went wrong; chaos.test.mjs runs it, with clients of clients.mjs.

import { startServer } from "../../../../tests/browser/programs.mjs";
import { startFaultProxy } from "../support/fault-proxy.mjs";
import { freePort } from "../support/ports.mjs";
import { generator } from "../support/random.mjs";
import { FLAGS, mint } from "../support/tokens.mjs";
import { until } from "../support/values.mjs";

const CLIENTS = { sse: ["sse"], ws: ["ws"], poll: ["poll"], auto: undefined, talker: undefined };
const CHANNELS = ["room:1", "room:2", "room:3", "room:4"];
/** What the talker talks in, every so many ms. */
const TALK = { channel: "talk", every: 250 };
/** Publications a second, over all channels. */
const RATE = 200;
/** Seconds a token is good for. */
const TOKEN_S = 6;
/** Between two faults, in ms. */
const CALM = [400, 2_500];
/** A muted stream and a stripped upgrade last longer than a client is patient. */
const LONG = [3_500, 6_000];

/** After an outage of up to a second a client is to be back within so many ms. */
const SOON = 2_000;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/**
 * Lets it storm for so many seconds.
 * @param open opens a client; see clients.mjs
 * @param origins of the pages that may connect
 * @param log told of each fault
 * @returns what the handlers saw wrong, and how long clients needed after short outages that no other
 *   fault followed before they could be back, in ms
 */
export async function storm(t, { open, origins = [], seconds, seed, log = () => {} }) {
  const random = generator(seed);
  const between = ([least, most]) => least + random() * (most - least);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const admin = `127.0.0.1:${await freePort()}`;
  const flags = [...FLAGS, "--heartbeat", "2s", ...origins.flatMap((origin) => ["--allow-origin", origin])];
  let server = await startServer(t, { dev: false, admin, flags });
  const { port, origin } = server;
  const clients = [];
  const firstAfter = (moment) => publishing.firstAfter(moment);
  for (const [name, transports] of Object.entries(CLIENTS))
    clients.push(await startClient(t, { open, name, transports, port, firstAfter }));
  const publishing = publish(origin);
  const counted = { fallbacks: 0 };
  const count = async () => (counted.fallbacks += await scrape(`http://${admin}`));
  const returns = [];

  const faults = {
    cut: ({ proxy }) => proxy.cut(random() < 0.5),
    async refuse({ proxy }, ms) {
      proxy.refuse = true;
      proxy.cut();
      await sleep(ms);
      proxy.refuse = false;
    },
    async stall({ proxy }, ms) {
      proxy.stall = true;
      await sleep(ms);
      proxy.flow();
    },
    halfOpen: ({ proxy }) => proxy.halfOpen(),
    async mute({ proxy }) {
      proxy.mute = "/v1/sse";
      proxy.cut();
      await sleep(between(LONG));
      proxy.mute = null;
      proxy.cut();
    },
    async strip({ proxy }) {
      proxy.strip = true;
      proxy.cut();
      await sleep(between(LONG));
      proxy.strip = false;
    },
  };
  const SHORT = ["cut", "refuse", "stall"];
  const restart = async () => {
    await count();
    await server.stop();
    await sleep(random() * 700);
    server = await startServer(t, { port, dev: false, admin, flags });
  };

  const end = Date.now() + seconds * 1_000;
  while (Date.now() < end) {
    await sleep(between(CALM));
    const name = random() < 0.08 ? "restart" : pick(Object.keys(faults));
    const struck = name === "restart" || random() < 0.2 ? clients : [pick(clients)];
    // A poll has nothing to miss; a link of it that leads nowhere is found by its long timeout.
    const hit = struck.filter((client) => name !== "halfOpen" || client.name !== "poll");
    // Who is away already comes back from an outage that took longer.
    const there = hit.filter((client) => client.strike());
    const ms = random() * 1_000;
    log(`${name} ${hit.map((client) => client.name)}`);
    if (name === "restart") await restart();
    else await Promise.all(hit.map((client) => faults[name](client, ms)));
    const over = Date.now();
    const short = [...SHORT, "restart"].includes(name);
    for (const client of hit) {
      const counts = short && there.includes(client);
      client.heardAfter(over, (ms) => counts && returns.push({ name, client: client.name, ms }));
    }
  }
  publishing.stop();
  for (const client of clients) Object.assign(client.proxy, { refuse: false, mute: null, strip: false });
  await publishing.last();
  await until(() => clients.every((client) => client.complete(publishing.lastOf)), "everything has arrived", 60_000);
  await count();
  const wrong = clients.flatMap((client) => client.check(publishing.confirmed));
  const seen = clients.flatMap(({ proxy }) => proxy.requests.join("\n").match(/fallback=/g) ?? []).length;
  const fallbacks = { seen, counted: counted.fallbacks, happened: clients.reduce((sum, { falls }) => sum + falls(), 0) };
  const messages = clients.reduce((sum, { count }) => sum + count(), 0);
  const gaps = clients.reduce((sum, { gaps }) => sum + gaps(), 0);
  for (const { close } of clients) await close();
  return { wrong, returns, fallbacks, messages, gaps };
}

async function startClient(t, { open, name, transports, port, firstAfter }) {
  const proxy = await startFaultProxy(t, port);
  /** Per channel, in order: numbers, and "gap". */
  const seen = new Map(CHANNELS.map((channel) => [channel, []]));
  /** Waits for what was published after a moment. */
  let waiting;
  /** Worse is higher. */
  const rank = (transport) => ["sse", "ws", "poll"].indexOf(transport);
  let falls = 0;
  let current;
  const talks = name === "talker";
  const close = await open(t, {
    origin: proxy.origin, transports, channels: CHANNELS, talk: talks ? TALK : undefined, name, tokenLife: TOKEN_S,
    message(channel, { n, at }, heardAt) {
      seen.get(channel).push(n);
      if (at < waiting?.over) return;
      // Where nothing was published at once there was nothing to be heard.
      waiting?.heard(heardAt - Math.min(at, firstAfter(waiting.over)));
      waiting = undefined;
    },
    gap: (channel) => seen.get(channel).push("gap"),
    connected(transport) {
      if (current !== undefined && !talks && rank(transport) > rank(current)) falls += 1;
      current = transport;
    },
  });
  return {
    name, proxy, close,
    falls: () => falls,
    gaps: () => [...seen.values()].flat().filter((item) => item === "gap").length,
    count: () => [...seen.values()].flat().length,
    /**
     * A fault begins. Whether who is still away would have been back in time is not known, unless it
     * is late already. Returns whether it was there.
     */
    strike() {
      const away = waiting && Date.now() - waiting.over;
      if (away > SOON) waiting.heard(away);
      waiting = undefined;
      return away === undefined;
    },
    /** Tells after how many ms something published after `over` arrived, unless a fault comes before it. */
    heardAfter: (over, heard) => (waiting = { over, heard }),
    complete: (lastOf) => CHANNELS.every((channel) => seen.get(channel).at(-1) === lastOf(channel)),
    /** Repetitions, disorder, and holes that no gap announced. */
    check(confirmed) {
      const wrong = [];
      for (const [channel, list] of seen) {
        let last = -1;
        let gap = true;
        for (const item of list) {
          if (item === "gap") gap = true;
          else {
            if (item <= last) wrong.push(`${name} ${channel}: ${item} after ${last}`);
            const missed = gap ? [] : confirmed(channel, last, item);
            if (missed.length) wrong.push(`${name} ${channel}: ${missed.length} missing between ${last} and ${item}`);
            [last, gap] = [item, false];
          }
        }
      }
      return wrong;
    },
  };
}

/** Publishes numbers to each channel in turn, one after the other, and knows which were confirmed. */
function publish(origin) {
  const confirmed = new Map(CHANNELS.map((channel) => [channel, []]));
  /** When what was confirmed was sent. */
  const times = [];
  let running = true;
  let n = 0;
  let token = mint("publisher", 3_600);
  const send = async (channel) => {
    n += 1;
    const at = Date.now();
    const body = JSON.stringify({ channel, data: { n, at } });
    const headers = { authorization: `Bearer ${token}` };
    const number = n;
    const response = await fetch(`${origin}/v1/publish`, { method: "POST", headers, body }).catch(() => null);
    if (response?.ok) confirmed.get(channel).push(number);
    if (response?.ok) times.push(at);
    await response?.arrayBuffer().catch(() => {});
  };
  const loop = async (channel) => {
    let next = Date.now();
    while (running) {
      await send(channel);
      next += (1_000 * CHANNELS.length) / RATE;
      if (next < Date.now()) next = Date.now();
      await sleep(next - Date.now());
    }
  };
  const loops = CHANNELS.map(loop);
  return {
    stop: () => (running = false),
    /** Publishes a last number to each. */
    last: async () => {
      await Promise.all(loops);
      for (const channel of CHANNELS) await send(channel);
    },
    /** When the first publication since that moment was sent; Infinity if none is confirmed yet. */
    firstAfter: (moment) => Math.min(...times.slice(-2_000).filter((at) => at >= moment)),
    lastOf: (channel) => confirmed.get(channel).at(-1),
    confirmed: (channel, after, before) => confirmed.get(channel).filter((n) => n > after && n < before),
  };
}

/** How many fallbacks the server has counted. */
async function scrape(origin) {
  const text = await (await fetch(`${origin}/metrics`)).text();
  const counts = [...text.matchAll(/client_fallbacks_total\{reason="[^"]+"\} (\d+)/g)];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

/** The value below which this share of them is. */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
