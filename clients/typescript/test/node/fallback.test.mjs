// Networks that do not let everything through: the client ends on what works, soon, and says why.

import assert from "node:assert/strict";
import { test } from "node:test";

import { startServer } from "../../../../tests/browser/programs.mjs";
import { bellwire } from "../../dist/index.js";
import { startFaultProxy } from "../support/fault-proxy.mjs";
import { fallbacks } from "../support/metrics.mjs";
import { connected, post, record, until } from "../support/values.mjs";

/** What a page may have to wait for a transport that works, in ms. */
const SOON = 5_000;

async function open(t, { faults, transports } = {}) {
  const server = await startServer(t);
  const proxy = await startFaultProxy(t, server.port);
  Object.assign(proxy, faults);
  const live = bellwire(proxy.origin, transports && { transports });
  t.after(live.close);
  const pauses = [];
  live.on("state", ({ current, retryAt }) => current === "waiting" && pauses.push(Math.max(0, retryAt - Date.now())));
  const kept = record(live.channel("room"));
  const since = Date.now();
  await connected(live);
  const took = Date.now() - since;
  await post(server.origin, "room", "hello");
  await until(() => kept.messages.length === 1, "the channel is live");
  return { server, proxy, live, kept, took, pauses };
}

test("who only listens uses one event stream and opens no WebSocket", async (t) => {
  const { proxy, live } = await open(t);
  assert.equal(live.state.transport, "sse");
  assert.equal(proxy.requests.length, 1);
  assert.match(proxy.requests[0], /^GET \/v1\/sse\?/);
});

test("an event stream that a proxy mutes is given up for a WebSocket", async (t) => {
  const { server, live, took } = await open(t, { faults: { mute: "/v1/sse" } });
  assert.equal(live.state.transport, "ws");
  assert.ok(took < SOON, `it took ${took} ms`);
  assert.equal(await fallbacks(server.origin, "sse-muted"), 1);
});

test("with streams muted and upgrades stripped, polling is left", async (t) => {
  const { server, live, took } = await open(t, { faults: { mute: "/v1/sse", strip: true } });
  assert.equal(live.state.transport, "poll");
  assert.ok(took < SOON, `it took ${took} ms`);
  assert.deepEqual(
    [await fallbacks(server.origin, "sse-muted"), await fallbacks(server.origin, "ws-failed")],
    [1, 1],
  );
});

test("a WebSocket that opens but stays silent is given up", async (t) => {
  const faults = { mute: "/v1/ws" };
  const { server, live, took } = await open(t, { faults, transports: ["ws", "sse", "poll"] });
  assert.equal(live.state.transport, "sse");
  assert.ok(took < SOON, `it took ${took} ms`);
  assert.equal(await fallbacks(server.origin, "ws-muted"), 1);
});

test("a stripped upgrade is no reason to wait", async (t) => {
  const { server, live, pauses } = await open(t, { faults: { strip: true }, transports: ["ws", "poll"] });
  assert.equal(live.state.transport, "poll");
  assert.deepEqual(pauses, [0]);
  assert.equal(await fallbacks(server.origin, "ws-failed"), 1, "it failed, and was not waited for");
});

test("who begins to talk moves to a WebSocket, with nothing lost or repeated", async (t) => {
  const { server, proxy, live, kept } = await open(t);
  const room = live.channel("room");
  const other = (async () => {
    for (let n = 0; n < 200; n += 1) await post(server.origin, "room", `other ${n}`);
  })();
  for (let n = 0; n < 30; n += 1) await room.publish(n);
  await until(() => live.state.transport === "ws", "it has moved");
  await other;
  await until(() => kept.messages.length >= 231, "all have arrived");
  const [others, own] = [
    kept.data().filter((data) => typeof data === "string"),
    kept.data().filter((data) => typeof data === "number"),
  ];
  assert.deepEqual(others, ["hello", ...Array.from({ length: 200 }, (_, n) => `other ${n}`)]);
  assert.deepEqual(own, [...Array(30).keys()]);
  assert.equal(proxy.requests.filter((request) => request.startsWith("GET /v1/ws")).length, 1);
});

test("a channel that is added while the WebSocket is opening is live with the others", async (t) => {
  const server = await startServer(t);
  const proxy = await startFaultProxy(t, server.port);
  proxy.stall = true;
  const live = bellwire(proxy.origin, { transports: ["ws"] });
  t.after(live.close);
  record(live.channel("first"));
  await until(() => proxy.requests.length === 1, "it is opening");
  const added = record(live.channel("second"));
  // A later one has its turn after the change of the channels.
  await new Promise((done) => setTimeout(() => setTimeout(done)));
  proxy.flow();
  await connected(live);
  await post(server.origin, "second", "hello");
  await until(() => added.messages.length === 1, "the added channel is live");
  assert.equal(proxy.requests.length, 1);
});

test("the first bytes move to a WebSocket at once", async (t) => {
  const { live } = await open(t);
  await live.channel("room").publish(new Uint8Array([1]));
  await until(() => live.state.transport === "ws", "it has moved");
});

test("who talks where no WebSocket gets through goes on as before", async (t) => {
  const { server, live, kept } = await open(t, { faults: { strip: true } });
  const room = live.channel("room");
  for (let n = 0; n < 5; n += 1) await room.publish(n);
  await post(server.origin, "room", "end");
  await until(() => kept.data().includes("end"), "the stream goes on");
  assert.equal(live.state.transport, "sse");
  assert.deepEqual(kept.data(), ["hello", 0, 1, 2, 3, 4, "end"]);
});
