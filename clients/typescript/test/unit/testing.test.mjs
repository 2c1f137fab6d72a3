// The double behaves as the client does, as far as code under test can see.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createDouble } from "../../dist/testing.js";
import { record } from "../support/values.mjs";

test("what is received and published reaches listeners, by name", async () => {
  const live = createDouble();
  const room = live.channel("room");
  const kept = record(room);
  const moves = [];
  room.on("move", (data) => moves.push(data));
  live.receive("room", { x: 1 }, { event: "move", user: "ann" });
  const receipt = await room.publish("mine");
  assert.deepEqual(kept.data(), [{ x: 1 }, "mine"]);
  assert.deepEqual(moves, [{ x: 1 }]);
  assert.equal(kept.messages[0].user, "ann");
  assert.equal(kept.messages[1].id, receipt.id);
  assert.deepEqual(live.published.map(({ channel, data }) => [channel, data]), [["room", "mine"]]);
});

test("a repeated key is the same publication, and bytes arrive as bytes", async () => {
  const live = createDouble();
  const kept = record(live.channel("room"));
  const [first, again] = [
    await live.channel("room").publish(1, { idempotencyKey: "k" }),
    await live.channel("room").publish(1, { idempotencyKey: "k" }),
  ];
  assert.deepEqual([first.duplicate, again.duplicate, again.id], [false, true, first.id]);
  await live.channel("room").publish(new Uint8Array([1, 2]));
  assert.deepEqual([...kept.messages[1].data], [1, 2]);
});

test("a test can make losses, refusals, states and failures happen", async () => {
  const live = createDouble();
  const kept = record(live.channel("room"));
  const states = [];
  live.on("state", ({ current, previous }) => states.push([previous, current]));
  live.lose("room", "retention");
  live.receive("room", 1);
  live.deny("room", "no");
  live.become("waiting", "the network is gone");
  live.failNext("forbidden");
  const error = await live.channel("room").publish(1).catch((error) => error);
  assert.equal(kept.messages[0].gap.reason, "retention");
  assert.equal(kept.denied[0].detail, "no");
  assert.equal(error.code, "forbidden");
  live.close();
  assert.deepEqual(states, [["connected", "waiting"], ["waiting", "closed"]]);
  assert.equal((await live.channel("room").publish(1).catch(({ code }) => code)), "closed");
});

test("history pages through what the double has seen", async () => {
  const live = createDouble();
  for (let n = 0; n < 5; n += 1) live.receive("room", n);
  const room = live.channel("room");
  const page = await room.history({ limit: 3 });
  const rest = await room.history({ cursor: page.cursor });
  assert.deepEqual([page, rest].map(({ messages }) => messages.map(({ data }) => data)), [[0, 1, 2], [3, 4]]);
  assert.deepEqual([page.more, rest.more], [true, false]);
});

test("payloads are what they would be after the wire: JSON, copied, and bytes as bytes everywhere", async () => {
  const live = createDouble();
  const room = live.channel("room");
  const kept = record(room);
  const state = { at: new Date(0), none: undefined };
  live.receive("room", state);
  await room.publish(state);
  await room.publish(new Uint8Array([1, 2]));
  live.receive("room", new Uint8Array([3]).buffer);
  state.at = "changed";
  const all = [{ at: "1970-01-01T00:00:00.000Z" }, { at: "1970-01-01T00:00:00.000Z" }, new Uint8Array([1, 2]), new Uint8Array([3])];
  assert.deepEqual(kept.data(), all);
  assert.deepEqual((await room.history()).messages.map(({ data }) => data), all);
  assert.deepEqual(live.published.map(({ data }) => data), all.slice(1, 3));
  await assert.rejects(room.publish(1n), TypeError);
});

test("a key that was used for another payload, and a signal that has aborted, are refused", async () => {
  const live = createDouble();
  const room = live.channel("room");
  await room.publish(1, { idempotencyKey: "k" });
  await assert.rejects(room.publish(2, { idempotencyKey: "k" }), { code: "idempotency_mismatch", status: 409 });
  await assert.rejects(room.publish(3, { signal: AbortSignal.abort() }), { code: "aborted" });
  assert.equal(live.published.length, 1);
});

test("a closed double stays closed", () => {
  const live = createDouble();
  const states = [];
  live.on("state", ({ current }) => states.push(current));
  live.close();
  live.close();
  live.become("connected");
  assert.deepEqual(states, ["closed"]);
});
