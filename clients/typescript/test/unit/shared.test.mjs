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
    if (server.refuse) return server.refuse();
    if (pathname === "/v1/sse") {
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
