// Chromium's own EventSource, without any of our code in the page, against streams that are cut
// in the middle of events.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";

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
  // From here on there is an id to resume from.
  proxy.armed = true;

  const started = Date.now();
  const publishers = CHANNELS.map((channel) => startPublishing(server.origin, channel));
  const stopAll = () => Promise.all(publishers.map(({ stop }) => stop()));
  t.after(stopAll);
  await until(async () => {
    for (const { failure } of publishers) assert.ifError(failure);
    const state = await page.evaluate(() => window.source.readyState);
    assert.notEqual(state, 2, `the EventSource gave up after ${proxy.cut} cuts`);
    return proxy.cut === CUTS && proxy.streams.length > CUTS;
  }, "all cuts and the return after the last", CUTS * 1_000);
  const published = await stopAll();
  const seconds = (Date.now() - started) / 1_000;

  const all = () => page.evaluate(() => window.seen);
  await until(async () => {
    const seen = await all();
    return CHANNELS.every((channel, index) => seen[channel].at(-1) === published[index]);
  }, "the last message of each channel");

  assert.deepEqual(await page.evaluate(() => window.gaps), []);
  const seen = await all();
  for (const [index, channel] of CHANNELS.entries()) {
    assert.equal(firstDisorder(seen[channel]), null, `${channel}: each once and in order`);
    assert.equal(seen[channel].length, published[index], `${channel}: all of them`);
  }
  assert.equal(proxy.streams[0]["last-event-id"], undefined);
  for (const [n, head] of proxy.streams.slice(1).entries()) {
    const segments = head["last-event-id"]?.split(".").length;
    assert.equal(segments, CHANNELS.length, `reconnect ${n + 1} says where it was in each channel`);
  }
  const messages = published.join(" + ");
  t.diagnostic(`${proxy.streams.length - 1} reconnects, ${messages} messages in ${seconds} s`);
});

/** Where 1, 2, 3, … is interrupted, with what surrounds it. */
function firstDisorder(numbers) {
  const at = numbers.findIndex((number, index) => number !== index + 1);
  return at === -1 ? null : { at, found: numbers.slice(Math.max(0, at - 3), at + 3) };
}

/** Runs in the page. */
function receive(channels) {
  window.seen = Object.fromEntries(channels.map((channel) => [channel, []]));
  window.gaps = [];
  const query = new URLSearchParams(channels.map((channel) => ["channel", channel]));
  const source = (window.source = new EventSource(`/v1/sse?${query}`));
  source.onmessage = ({ data }) => {
    const envelope = JSON.parse(data);
    window.seen[envelope.channel].push(envelope.data);
  };
  source.addEventListener("gap", ({ data }) => window.gaps.push(data));
  return new Promise((opened) => source.addEventListener("hello", opened, { once: true }));
}

/** Publishes 1, 2, 3, … one after the other until `stop`, which tells the last one. */
function startPublishing(origin, channel) {
  const url = `${origin}/v1/channels/${encodeURIComponent(channel)}`;
  const headers = { "content-type": "application/json" };
  const publisher = { last: 0, stopped: false, failure: null };
  const publishAll = async () => {
    for (let due = Date.now(); !publisher.stopped; due += INTERVAL_MS) {
      await delay(due - Date.now());
      const body = String(publisher.last + 1);
      const response = await fetch(url, { method: "POST", body, headers });
      assert.equal(response.status, 200, await response.text());
      publisher.last += 1;
    }
  };
  const done = publishAll().catch((error) => (publisher.failure = error));
  publisher.stop = async () => {
    publisher.stopped = true;
    await done;
    return publisher.last;
  };
  return publisher;
}
