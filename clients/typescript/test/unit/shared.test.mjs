// Tabs that share a connection, with locks, wires and a server that do what a test says. What real
// tabs do is in test/browser/shared.test.mjs.

import assert from "node:assert/strict";
import { test } from "node:test";

import { shared } from "../../dist/shared.js";
import { idOf } from "../support/ids.mjs";
import { until } from "../support/values.mjs";

/** Web Locks, as far as tabs use them. */
function createLocks() {
  const queues = new Map();
  return {
    async request(name, options, act = options) {
      const before = queues.get(name) ?? Promise.resolve();
      let free;
      queues.set(name, new Promise((resolve) => (free = resolve)));
      try {
        await before;
        options.signal?.throwIfAborted();
        return await act();
      } finally {
        free();
      }
    },
  };
}

/** A server whose stream and polls a test fills. */
function createServer(t) {
  const server = { log: [], polls: [], answer: null };
  const encoder = new TextEncoder();
  let streams = [];
  const event = (name, data) => encoder.encode(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  const envelope = (offset) => ({ channel: "a", id: idOf("a", 1, offset), time: 1, data: offset });
  server.publish = (...offsets) => {
    for (const offset of offsets) {
      server.log.push(offset);
      for (const stream of streams) stream.enqueue(event("message", envelope(offset)));
    }
  };
  server.fetch = async (url, { signal }) => {
    const { pathname, searchParams } = new URL(url);
    if (pathname === "/v1/sse") {
      if (server.refuse) return server.refuse();
      const body = new ReadableStream({
        start(stream) {
          streams.push(stream);
          signal.addEventListener("abort", () => (streams = streams.filter((other) => other !== stream)));
          stream.enqueue(event("hello", { cursor: idOf("a", 1, server.log.at(-1) ?? 0), heartbeat_ms: 20_000 }));
        },
      });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    }
    const cursor = searchParams.get("cursor");
    server.polls.push(searchParams.get("timeout"));
    const offsets = server.answer ? await server.answer(cursor, searchParams.get("timeout")) : [];
    return Response.json({
      cursor: offsets.length ? idOf("a", 1, offsets.at(-1)) : cursor,
      messages: offsets.map(envelope),
      gaps: [],
    });
  };
  Object.defineProperty(globalThis, "navigator", { value: { locks: createLocks() }, configurable: true });
  t.after(() => delete globalThis.navigator);
  return server;
}

test("a tab catches up from the log also where the first answer came before the log was read", async (t) => {
  const server = createServer(t);
  const behind = [2, 3, 4];
  // As a poll that is not held, and whose pages are on their way.
  server.answer = async (_, timeout) => (timeout === "0" ? [] : behind.splice(0));
  const live = shared("http://server/", { fetch: server.fetch });
  t.after(live.close);
  const got = [];
  live.channel("a", { since: idOf("a", 1, 1) }).on("*", (data) => got.push(data));
  await until(() => server.polls.length > 0, "it catches up");
  server.publish(5);
  await until(() => got.includes(5), "it is live");
  assert.deepEqual(got, [2, 3, 4, 5]);
});

test("a tab leaves polls for the hub while messages go on and on", async (t) => {
  const server = createServer(t);
  let offset = 0;
  // There is always one more, which the stream has a little later.
  server.answer = async () => {
    const fresh = (offset += 1);
    setTimeout(() => server.publish(fresh), 5);
    await new Promise((next) => setTimeout(next, 1));
    return [fresh];
  };
  const live = shared("http://server/", { fetch: server.fetch });
  t.after(live.close);
  const got = [];
  live.channel("a").on("*", (data) => got.push(data));
  await until(() => got.length > 0, "the first message");
  await until(() => {
    const polls = server.polls.length;
    return new Promise((resolve) => setTimeout(() => resolve(server.polls.length === polls), 50));
  }, "it has ceased to poll");
  server.publish((offset += 1));
  await until(() => got.includes(offset), "it is live");
  assert.deepEqual(got, [...Array(offset + 1).keys()].slice(1));
});

test("a client whose signal has aborted leads nobody", async (t) => {
  createServer(t);
  shared("http://server/", { signal: AbortSignal.abort() });
  // The lock is free for the next one.
  await navigator.locks.request("bellwire:http://server/", {}, () => {});
});

test("when the shared stream is refused for good every tab stops, and one that comes later asks again", async (t) => {
  const server = createServer(t);
  const code = "forbidden";
  server.refuse = () =>
    new Response(JSON.stringify({ code, detail: code }), { status: 403, headers: { "content-type": "application/problem+json" } });
  const tabs = [shared("http://server/", { fetch: server.fetch }), shared("http://server/", { fetch: server.fetch })];
  t.after(() => tabs.forEach((tab) => tab.close()));
  for (const tab of tabs) tab.channel("a").on("*", () => {});
  for (const tab of tabs) await until(() => tab.state.current === "stopped", "it stops");
  server.refuse = undefined;
  const late = shared("http://server/", { fetch: server.fetch });
  t.after(late.close);
  const got = [];
  late.channel("a").on("*", (data) => got.push(data));
  await until(() => late.state.current === "connected", "it is connected");
  await until(() => {
    server.publish((server.log.at(-1) ?? 0) + 1);
    return got.length > 0;
  }, "it is live");
});

test("a tab whose link ends before it had its lock complains of nothing", async (t) => {
  const server = createServer(t);
  const live = shared("http://server/", { fetch: server.fetch });
  const stop = live.channel("a").on("*", () => {});
  const complaints = [];
  const complain = (error) => complaints.push(error);
  process.on("unhandledRejection", complain);
  t.after(() => process.off("unhandledRejection", complain));
  const request = navigator.locks.request;
  let grant;
  navigator.locks.request = async (name, ...rest) => {
    await new Promise((resolve) => (grant = resolve));
    return request(name, ...rest);
  };
  await until(() => grant, "a lock is asked for");
  stop();
  await until(() => live.state.current === "idle", "the link has ended");
  live.close();
  grant();
  await new Promise((next) => setTimeout(next));
  assert.deepEqual(complaints, []);
});
