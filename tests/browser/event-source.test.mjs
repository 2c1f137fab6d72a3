// Chromium's own EventSource, without any of our code in the page, against streams that are cut
// in the middle of events.

import assert from "node:assert/strict";
import { test } from "node:test";

import { startCuttingProxy } from "./cutting-proxy.mjs";
import { openBrowser, startServer, until } from "./harness.mjs";

const CHANNELS = ["news", "room:7", "ticker"];
/** Ms between two messages of a channel: 33 a second. */
const INTERVAL_MS = 30;
const CUTS = 200;
const CONFIG = `
retry = "50ms..200ms"

[history]
count = 1000
`;

test("200 cuts of one EventSource on three channels lose and repeat nothing", async (t) => {
  const server = await startServer(t, { config: CONFIG });
  const seed = Number(process.env.BELLWIRE_SEED ?? Date.now() % 2 ** 31);
  t.diagnostic(`BELLWIRE_SEED=${seed}`);
  const proxy = await startCuttingProxy(t, { port: server.port, cuts: CUTS, seed });
  const browser = await openBrowser(t);
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${proxy.origin}/livez`);
  await page.evaluate(receive, CHANNELS);

  const publishers = CHANNELS.map((channel) => startPublishing(server.origin, channel));
  const stopAll = () => Promise.all(publishers.map(({ stop }) => stop()));
  t.after(stopAll);
  await untilPatiently(() => proxy.cut === CUTS && proxy.streams.length > CUTS, () => `${proxy.cut} cuts`);
  const published = await stopAll();

  const all = () => page.evaluate(() => window.seen);
  await until(async () => {
    const seen = await all();
    return CHANNELS.every((channel, index) => seen[channel].at(-1) === published[index]);
  }, "the last message of each channel");

  const seen = await all();
  for (const [index, channel] of CHANNELS.entries()) {
    const dense = Array.from({ length: published[index] }, (_, n) => n + 1);
    assert.deepEqual(seen[channel], dense, `${channel}: each message once and in order`);
  }
  assert.deepEqual(await page.evaluate(() => window.gaps), []);
  assert.equal(proxy.streams[0]["last-event-id"], undefined);
  for (const [n, head] of proxy.streams.slice(1).entries()) {
    const segments = head["last-event-id"]?.split(".").length;
    assert.equal(segments, CHANNELS.length, `reconnect ${n + 1} says where it was in each channel`);
  }
  t.diagnostic(`${proxy.streams.length - 1} reconnects, ${published.join(" + ")} messages`);
});

/** Runs in the page. */
function receive(channels) {
  window.seen = Object.fromEntries(channels.map((channel) => [channel, []]));
  window.gaps = [];
  const query = new URLSearchParams(channels.map((channel) => ["channel", channel]));
  const source = new EventSource(`/v1/sse?${query}`);
  source.onmessage = ({ data }) => {
    const envelope = JSON.parse(data);
    window.seen[envelope.channel].push(envelope.data);
  };
  source.addEventListener("gap", ({ data }) => window.gaps.push(data));
  return new Promise((opened) => source.addEventListener("hello", opened, { once: true }));
}

/** Publishes 1, 2, 3, … one after the other; `stop` tells the last one. */
function startPublishing(origin, channel) {
  let last = 0;
  let queue = Promise.resolve();
  const post = async () => {
    const body = String(last + 1);
    const url = `${origin}/v1/channels/${encodeURIComponent(channel)}`;
    const headers = { "content-type": "application/json" };
    const response = await fetch(url, { method: "POST", body, headers });
    assert.equal(response.status, 200, await response.text());
    last += 1;
  };
  const timer = setInterval(() => (queue = queue.then(post)), INTERVAL_MS);
  const stop = async () => {
    clearInterval(timer);
    await queue;
    return last;
  };
  return { stop };
}

/** Two hundred reconnects take longer than a single condition may. */
async function untilPatiently(condition, progress) {
  const deadline = Date.now() + CUTS * 1_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `gave up waiting at ${progress()}`);
    await new Promise((again) => setTimeout(again, 20));
  }
}
