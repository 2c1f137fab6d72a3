// Tokens on each transport: fetched when needed, renewed in time, refused ones replaced.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { BINARY, startServer } from "../../../../tests/browser/programs.mjs";
import { bellwire } from "../../dist/index.js";
import { startFaultProxy } from "../support/fault-proxy.mjs";
import { FLAGS, mint } from "../support/tokens.mjs";
import { connected, record, until } from "../support/values.mjs";

/** How far the client's clock is ahead where a token is renewed: so much time a slow machine has for it. */
const AHEAD_MS = 3_000;
const LINKS = { sse: "GET /v1/sse", ws: "GET /v1/ws", poll: "GET /v1/poll" };

for (const [transport, link] of Object.entries(LINKS)) {
  test(`by ${transport} a token is renewed before it expires, without a loss`, async (t) => {
    const server = await startServer(t, { dev: false, flags: FLAGS });
    const proxy = await startFaultProxy(t, server.port);
    const { now } = Date;
    t.mock.method(Date, "now", () => now() + AHEAD_MS);
    let fetched = 0;
    const token = async () => {
      fetched += 1;
      return mint("ann", 3);
    };
    const live = bellwire(proxy.origin, { transports: [transport], token });
    t.after(live.close);
    const states = [];
    live.on("state", ({ current }) => states.push(current));
    const room = live.channel("room:1");
    const kept = record(room);
    const inbox = record(live.channel("@me"));
    await connected(live);
    assert.equal(fetched, 1);
    const receipts = [];
    while (fetched < 4) {
      receipts.push(await room.publish(receipts.length));
      await new Promise((next) => setTimeout(next, 50));
    }
    await until(() => kept.messages.length === receipts.length, "all have arrived");
    assert.deepEqual(kept.data(), [...receipts.keys()]);
    assert.deepEqual(kept.messages.map(({ user }) => user), receipts.map(() => "ann"));
    assert.deepEqual([kept.gaps, kept.denied, inbox.denied], [[], [], []]);
    assert.deepEqual(states, ["connecting", "connected"]);
    const opened = proxy.requests.filter((request) => request.startsWith(link)).length;
    if (transport === "ws") assert.equal(opened, 1, "it is renewed in place");
  });
}

for (const transport of Object.keys(LINKS)) {
  test(`by ${transport} a refused token is asked for again, and one that stays bad is tried ever more rarely`, async (t) => {
    const server = await startServer(t, { dev: false, flags: FLAGS });
    const tokens = ["bad", "bad", mint("ann", 600)];
    let fetched = 0;
    const live = bellwire(server.origin, { transports: [transport], token: () => tokens[fetched++] });
    t.after(live.close);
    const inbox = record(live.channel("@me"));
    await connected(live);
    assert.equal(fetched, 3);
    assert.deepEqual(inbox.denied, []);
  });

  test(`by ${transport} a token that is a string and refused stops the client, and says why`, async (t) => {
    const server = await startServer(t, { dev: false, flags: FLAGS });
    const live = bellwire(server.origin, { transports: [transport], token: "bad" });
    t.after(live.close);
    const kept = record(live.channel("room:1"));
    await until(() => live.state.current === "stopped", "it stops");
    assert.equal(kept.denied.length, 1);
    const error = await live.channel("room:1").publish(1).catch((error) => error);
    assert.deepEqual([error.code, error.status], ["token_invalid", 401]);
  });

  test(`by ${transport} a channel that is not allowed is denied, and others are live`, async (t) => {
    const server = await startServer(t, { dev: false, flags: FLAGS });
    const live = bellwire(server.origin, { transports: [transport], token: mint("ann", 600) });
    t.after(live.close);
    const [room, foreign] = ["room:1", "@bob"].map((name) => record(live.channel(name)));
    await connected(live);
    await until(() => foreign.denied.length === 1, "the inbox of another user is denied");
    await live.channel("room:1").publish("hello");
    await until(() => room.messages.length === 1, "the room is live");
    assert.deepEqual(room.denied, []);
  });
}

for (const transport of Object.keys(LINKS)) {
  test(`by ${transport} a refused channel keeps no channel from its earliest, nor from resuming`, async (t) => {
    const server = await startServer(t, { dev: false, flags: FLAGS });
    const proxy = await startFaultProxy(t, server.port);
    const live = bellwire(proxy.origin, { transports: [transport], token: mint("ann", 600) });
    t.after(live.close);
    const news = live.channel("news", { since: "earliest" });
    await news.publish(1);
    const [kept, foreign] = [record(news), record(live.channel("@bob"))];
    await until(() => kept.messages.length === 1, "what was there before");
    await until(() => foreign.denied.length > 0, "the inbox of another user is denied");
    proxy.cut();
    await news.publish(2);
    await until(() => kept.messages.length === 2, "it has resumed");
    assert.deepEqual([kept.data(), kept.gaps, kept.denied], [[1, 2], [], []]);
  });
}

test("the inbox of a user whom a cookie names is resumed on a WebSocket", async (t) => {
  const said = execFileSync(BINARY, ["token", "key", "--scope", "publish:@*"], { encoding: "utf8" });
  const flags = [...FLAGS, "--api-key", /^--api-key (\S.*)$/m.exec(said)[1]];
  const server = await startServer(t, { dev: false, flags });
  const headers = { authorization: `Bearer ${/^bw_\S+$/m.exec(said)[0]}` };
  const notify = async (body) => (await fetch(`${server.origin}/v1/users/ann`, { method: "POST", headers, body })).json();
  const [{ id }] = [await notify("1"), await notify("2")];
  // Its token comes with the handshake, as a cookie does.
  const token = mint("ann", 600);
  const WebSocketWithCookie = class extends WebSocket {
    constructor(url) {
      url.searchParams.set("token", token);
      super(url);
    }
  };
  const live = bellwire(server.origin, { transports: ["ws"], WebSocket: WebSocketWithCookie });
  t.after(live.close);
  const inbox = record(live.channel("@me", { since: id }));
  await connected(live);
  await notify("3");
  await until(() => inbox.data().includes("3"), "the inbox is live");
  assert.deepEqual([inbox.data(), inbox.denied, inbox.gaps], [["2", "3"], [], []]);
});
