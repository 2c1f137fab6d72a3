// A better transport is tried again, by the clock on the wall: a verdict holds for a minute.

import assert from "node:assert/strict";
import { test } from "node:test";

import { startServer } from "../../../../tests/browser/programs.mjs";
import { bellwire } from "../../dist/index.js";
import { startFaultProxy } from "../support/fault-proxy.mjs";
import { connected, keepPosting, record, until } from "../support/values.mjs";

/** As long as a verdict holds, and then as long as a transport has to greet; in ms. */
const VERDICT = 60_000;

test("polling is left for an event stream once the network lets it through, without a loss", async (t) => {
  const server = await startServer(t);
  const proxy = await startFaultProxy(t, server.port);
  Object.assign(proxy, { mute: "/v1/sse", strip: true });
  const live = bellwire(proxy.origin);
  t.after(live.close);
  const kept = record(live.channel("room"));
  await connected(live);
  const since = Date.now();
  assert.equal(live.state.transport, "poll");
  Object.assign(proxy, { mute: null, strip: false });
  const stop = keepPosting(server.origin, "room", 200);
  await until(() => live.state.transport === "sse", "it is back on an event stream", 2 * VERDICT).finally(stop);
  const took = Date.now() - since;
  const published = await stop();
  // The verdict was passed some seconds before polling was live.
  assert.ok(took > VERDICT - 5_000, `it was tried after ${took} ms already`);
  await until(() => kept.messages.length >= published, "all have arrived");
  assert.deepEqual([kept.data(), kept.gaps], [[...Array(published).keys()], []]);
  t.diagnostic(`back after ${took} ms`);
});
