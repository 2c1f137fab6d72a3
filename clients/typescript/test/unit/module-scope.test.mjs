// Importing has no effects, so a server may render what imports this.

import assert from "node:assert/strict";
import { test } from "node:test";

test("importing and making a client opens nothing and keeps no process alive", async () => {
  const before = Object.keys(globalThis);
  const fetched = [];
  globalThis.fetch = (...request) => fetched.push(request);
  const { bellwire } = await import("../../dist/index.js");
  await import("../../dist/shared.js");
  await import("../../dist/testing.js");
  const live = bellwire("http://127.0.0.1:9");
  live.channel("room");
  await new Promise((later) => setTimeout(later, 20));
  assert.deepEqual([fetched, Object.keys(globalThis), live.state.current], [[], before, "idle"]);
});
