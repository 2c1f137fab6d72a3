// The connection's decisions, with links that do what a test says and time that a test moves.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { createChooser } from "../../dist/choose.js";
import { createConnection } from "../../dist/connection.js";
import { createCredentials } from "../../dist/credentials.js";
import { idOf } from "../support/ids.mjs";

let draw = 0.5;
beforeEach(() => {
  draw = 0.5;
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  mock.restoreAll();
  mock.method(Math, "random", () => draw);
});

/** A connection whose links are kept in `links`, newest last, and what it said. */
function world({ fixed, supported = () => true, token, channels = ["a"] } = {}) {
  const said = { states: [], messages: [], gaps: [], denied: [] };
  const links = [];
  const open = (transport) => (_, attempt, sink) => {
    const link = {
      transport, attempt, sink, open: true,
      greet: (cursor = "", heartbeat_ms = 20_000) => sink.say("hello", { cursor, heartbeat_ms }),
    };
    links.push(link);
    const close = () => (link.open = false);
    if (transport !== "ws") return { close };
    return { close, update: (names) => (link.updated = names), renew: (text) => (link.renewed = text) };
  };
  const chooser = createChooser(fixed, supported, "test");
  const connection = createConnection(
    {}, { sse: open("sse"), ws: open("ws"), poll: open("poll") }, chooser, createCredentials(token),
    {
      state: ({ current, transport, reason, retryAt }) => said.states.push({ current, transport, reason, retryAt }),
      tell(word, { data, reason, channel, detail }) {
        if (word === "message") said.messages.push(data);
        if (word === "gap") said.gaps.push(reason);
        if (word === "denied") said.denied.push([channel, detail]);
      },
    },
  );
  for (const channel of channels) connection.want(channel, "latest");
  connection.settle();
  return { connection, chooser, links, said };
}
/** Lets promises run; a link is opened after its token. */
const turn = async () => { for (let n = 0; n < 10; n += 1) await Promise.resolve(); };
const pass = async (ms) => { mock.timers.tick(ms); await turn(); };

test("a page that listens opens one event stream and nothing else", async () => {
  const { links, said } = world();
  await turn();
  links[0].greet(idOf("a", 1, 1));
  await pass(29_000);
  assert.deepEqual(links.map(({ transport }) => transport), ["sse"]);
  assert.deepEqual(said.states.map(({ current }) => current), ["connecting", "connected"]);
});

test("a link that is not greeted within three seconds is given up for the next transport at once", async () => {
  const { chooser, links, said } = world();
  await turn();
  await pass(2_999);
  assert.equal(links.length, 1);
  await pass(1);
  await pass(0);
  assert.deepEqual([links.length, links[1].transport, links[0].open], [2, "ws", false]);
  assert.deepEqual(links[1].attempt.fallback, ["sse-muted"]);
  links[1].sink.lost("failed");
  await pass(0);
  assert.deepEqual(links[2].attempt.fallback, ["sse-muted", "ws-failed"]);
  links[2].greet();
  assert.deepEqual(chooser.ranked(), ["poll", "sse", "ws"]);
  assert.equal(said.states.at(-1).current, "connected");
});

test("a better transport is tried again beside the one in use, and takes over when it is greeted", async () => {
  const { links, said } = world();
  await turn();
  await pass(3_000);
  await pass(0);
  links[1].greet();
  for (let n = 0; n < 4; n += 1) { await pass(15_000); links[1].sink.life(); }
  await pass(10);
  assert.deepEqual(links.map(({ transport, open }) => [transport, open]), [["sse", false], ["ws", true], ["sse", true]]);
  links[2].greet();
  assert.deepEqual(links.map(({ open }) => open), [false, false, true]);
  assert.equal(said.states.at(-1).transport, "sse");
});

test("a better transport that fails again is left alone for twice as long", async () => {
  const { links } = world();
  await turn();
  await pass(3_000);
  await pass(0);
  links[1].greet();
  const wait = async (seconds) => {
    for (let n = 0; n < seconds; n += 1) { await pass(1_000); links[1].sink.life(); }
  };
  await wait(70);
  assert.equal(links.length, 3);
  await wait(60);
  assert.equal(links.length, 3, "muted again after three seconds");
  await wait(70);
  assert.equal(links.length, 4);
  assert.equal(links[1].open, true);
});

test("when nothing answers, attempts back off with jitter and start over with the best", async () => {
  const { links, said } = world();
  await turn();
  for (let n = 0; n < 12; n += 1) {
    links.at(-1).sink.lost("failed");
    const { retryAt } = said.states.at(-1);
    await pass(retryAt - Date.now());
  }
  const order = links.map(({ transport }) => transport).slice(0, 9);
  assert.deepEqual(order, ["sse", "ws", "poll", "sse", "ws", "poll", "sse", "ws", "poll"]);
});

test("waits are within windows that double up to thirty seconds, and no longer than the outage so far", async () => {
  const { links, said } = world({ fixed: ["sse"] });
  await turn();
  draw = 1;
  const waits = [];
  for (let n = 0; n < 9; n += 1) {
    links.at(-1).sink.lost("failed");
    const wait = said.states.at(-1).retryAt - Date.now();
    waits.push(wait);
    await pass(wait);
  }
  assert.deepEqual(waits, [1_000, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
});

test("ten good seconds make the next outage start over, fewer do not", async () => {
  const { links, said } = world({ fixed: ["sse"] });
  await turn();
  draw = 1;
  const wait = () => said.states.at(-1).retryAt - Date.now();
  for (let n = 0; n < 3; n += 1) { links.at(-1).sink.lost("failed"); await pass(wait()); }
  links.at(-1).greet();
  await pass(9_999);
  draw = 0;
  links.at(-1).sink.lost("failed");
  assert.equal(wait(), 500, "an outage that begins waits no longer than it has lasted, and not nothing after failures");
  await pass(500);
  links.at(-1).sink.lost("failed");
  await pass(wait());
  links.at(-1).greet();
  await pass(10_000);
  links.at(-1).sink.lost("failed");
  assert.equal(wait(), 0, "the first of an outage");
});

test("the server's hint is waited for, and jitter comes on top", async () => {
  const { links, said } = world();
  await turn();
  links[0].greet();
  links[0].sink.say("bye", { code: "drain", reason: "leaving", reconnect: true, retry_ms: 7_000 });
  assert.equal(said.states.at(-1).retryAt - Date.now(), 7_500);
});

test("a final refusal stops, tells each channel, and a change of the channels tries again", async () => {
  const { connection, links, said } = world({ channels: ["a", "b"] });
  await turn();
  links[0].sink.lost("stop", "no");
  assert.equal(connection.state.current, "stopped");
  assert.deepEqual(said.denied, [["a", "no"], ["b", "no"]]);
  await pass(600_000);
  assert.equal(links.length, 1);
  connection.unwant("b");
  connection.settle();
  await turn();
  assert.equal(links.length, 2);
});

test("a transport that worked is given up only after it failed repeatedly", async () => {
  const { links, said } = world();
  await turn();
  links[0].greet();
  await pass(10_000);
  links[0].sink.lost("failed");
  for (let n = 0; n < 3; n += 1) {
    await pass(6_000);
    assert.equal(links.at(-1).transport, "sse");
    links.at(-1).sink.lost("failed");
  }
  assert.ok(said.states.at(-1).retryAt > Date.now(), "a server that is gone is not tried on every transport at once");
  await pass(20_000);
  assert.equal(links.at(-1).transport, "ws");
});

test("a link is dead one and a half heartbeats after its last sign of life", async () => {
  const { links, said } = world();
  await turn();
  links[0].greet("", 2_000);
  await pass(2_000);
  links[0].sink.life();
  await pass(2_999);
  assert.equal(said.states.at(-1).current, "connected");
  await pass(1);
  assert.deepEqual([said.states.at(-1).current, said.states.at(-1).reason], ["waiting", "silent"]);
});

test("a change of channels opens the new stream before the old one closes, and no message is lost or repeated", async () => {
  const { connection, links, said } = world();
  await turn();
  links[0].greet(idOf("a", 1, 1));
  const message = (offset) => ["message", { channel: "a", id: idOf("a", 1, offset), data: offset }];
  links[0].sink.say(...message(2));
  connection.want("b", "latest");
  connection.settle();
  await turn();
  assert.equal(links[1].attempt.cursor(links[1].attempt.channels), `latest.${idOf("a", 1, 2)}`);
  links[0].sink.say(...message(3));
  assert.equal(links[0].open, true);
  links[1].greet(`${idOf("a", 1, 2)}.${idOf("b", 1, 9)}`);
  assert.equal(links[0].open, false);
  for (const offset of [3, 4]) links[1].sink.say(...message(offset));
  links[0].sink.say(...message(5));
  assert.deepEqual(said.messages, [2, 3, 4]);
});

test("a WebSocket changes its channels in place", async () => {
  const { connection, links } = world({ fixed: ["ws"] });
  await turn();
  links[0].greet();
  connection.want("b", "latest");
  connection.settle();
  await turn();
  assert.deepEqual([links.length, links[0].updated], [1, ["a", "b"]]);
});

test("who talks moves to a WebSocket, and back when silent", async () => {
  const { connection, chooser, links } = world();
  await turn();
  links[0].greet();
  chooser.talking = true;
  connection.settle();
  await turn();
  assert.deepEqual(links.map(({ transport, open }) => [transport, open]), [["sse", true], ["ws", true]]);
  links[1].greet();
  chooser.talking = false;
  connection.settle();
  await turn();
  links[2].greet();
  assert.deepEqual(links.map(({ transport, open }) => [transport, open]), [["sse", false], ["ws", false], ["sse", true]]);
});

test("when the network is back a waiting client tries at once, and a live one makes sure", async () => {
  const { connection, links, said } = world();
  await turn();
  links[0].sink.lost("busy", "full", 60_000);
  connection.nudge(true);
  await turn();
  assert.equal(links.length, 2);
  links[1].greet();
  connection.nudge(true);
  await turn();
  assert.deepEqual([links.length, links[1].open], [3, true]);
  links[2].greet();
  assert.deepEqual([links[1].open, said.states.at(-1).current], [false, "connected"]);
});

test("the link that replaces one of the same transport is not dropped when nothing else changes", async () => {
  const { connection, links } = world({ fixed: ["sse"] });
  await turn();
  links[0].greet();
  connection.nudge(true);
  await turn();
  connection.settle();
  assert.deepEqual(links.map(({ open }) => open), [true, true]);
  links[1].greet();
  assert.deepEqual(links.map(({ open }) => open), [false, true]);
});

test("a page that wakes up after its heartbeats were missed is back at once", async () => {
  const { connection, links, said } = world();
  await turn();
  links[0].greet();
  mock.timers.setTime(Date.now() + 3_600_000);
  connection.nudge();
  await pass(0);
  assert.equal(links.length, 2);
  assert.ok(said.states.some(({ reason }) => reason === "silent"));
});

test("a page that is put away holds no link, and opens one when it comes back", async () => {
  const { connection, links } = world();
  await turn();
  links[0].greet();
  connection.suspend();
  assert.equal(links[0].open, false);
  connection.nudge();
  await turn();
  assert.equal(links.length, 2);
});

test("a token is fetched once, renewed before it expires, and shown without a new connection", async () => {
  const tokens = [];
  const token = () => {
    const exp = Math.floor(Date.now() / 1_000) + 600;
    tokens.push(`x.${Buffer.from(JSON.stringify({ exp })).toString("base64url")}.${tokens.length}`);
    return tokens.at(-1);
  };
  const { links } = world({ fixed: ["ws"], token });
  await turn();
  assert.equal(links[0].attempt.token, tokens[0]);
  links[0].greet("", 1_000_000);
  await pass(539_000);
  assert.equal(tokens.length, 1);
  await pass(2_000);
  assert.deepEqual([tokens.length, links.length, links[0].renewed], [2, 1, tokens[1]]);
});

test("a refused token is replaced, and one that cannot be is final", async () => {
  let tokens = 0;
  const { links } = world({ token: () => `token ${(tokens += 1)}` });
  await turn();
  assert.equal(links[0].attempt.token, "token 1");
  links[0].sink.lost("token", "expired");
  await pass(1_500);
  assert.equal(links[1].attempt.token, "token 2");
  const fixed = world({ token: "one" });
  await turn();
  fixed.links[0].sink.lost("token", "expired");
  assert.equal(fixed.connection.state.current, "stopped");
});

const tokenFor = (seconds) =>
  `x.${Buffer.from(JSON.stringify({ exp: Date.now() / 1_000 + seconds })).toString("base64url")}.y`;

test("a token function that fails is called again some seconds later, not at once", async () => {
  let calls = 0;
  const token = () => {
    calls += 1;
    if (calls > 1) throw new Error("no token today");
    return tokenFor(600);
  };
  const { links } = world({ fixed: ["ws"], token });
  await turn();
  links[0].greet("", 1_000_000);
  await pass(540_000);
  assert.equal(calls, 2);
  for (let n = 0; n < 9; n += 1) await pass(1_000);
  assert.equal(calls, 2);
  for (let n = 0; n < 9; n += 1) await pass(1_000);
  assert.equal(calls, 3);
});

test("a token that is over by this clock is the server's to judge, and not renewed again and again", async () => {
  let calls = 0;
  const { links } = world({ fixed: ["sse"], token: () => tokenFor(-60 * (calls += 1)) });
  await turn();
  links[0].greet("", 1_000_000);
  for (let n = 0; n < 60; n += 1) await pass(1_000);
  assert.deepEqual([calls, links.length], [1, 1]);
});

test("a client that is closed while its token is renewed asks for no other", async () => {
  const answers = [];
  const token = () => new Promise((resolve) => answers.push(resolve));
  const { connection, links } = world({ fixed: ["ws"], token });
  await turn();
  answers[0](tokenFor(600));
  await turn();
  links[0].greet("", 1_000_000);
  await pass(540_000);
  assert.equal(answers.length, 2);
  connection.close();
  answers[1](tokenFor(600));
  await turn();
  await pass(600_000);
  assert.equal(answers.length, 2);
});

test("a slow token says nothing against a transport, and what a link may take begins with it", async () => {
  let answer;
  const token = () => new Promise((resolve) => (answer = resolve));
  const { links, said } = world({ token });
  await turn();
  for (let n = 0; n < 10; n += 1) await pass(500);
  answer(tokenFor(600));
  await turn();
  for (let n = 0; n < 2; n += 1) await pass(500);
  await pass(1_900);
  assert.deepEqual(links.map(({ transport, attempt, open }) => [transport, attempt.fallback, open]), [["sse", [], true]]);
  links[0].greet();
  assert.equal(said.states.at(-1).current, "connected");
});

test("a token function that never returns is called again", async () => {
  let calls = 0;
  const token = () => ((calls += 1) === 1 ? new Promise(() => {}) : tokenFor(600));
  const { links } = world({ token });
  for (let n = 0; n < 60; n += 1) await pass(500);
  assert.deepEqual([calls, links[0]?.transport], [2, "sse"]);
});

test("where the platform has none of the transports that were asked for, one poll runs", async () => {
  const { links } = world({ fixed: ["ws"], supported: (name) => name === "poll" });
  await turn();
  for (let n = 0; n < 5; n += 1) { links.at(-1).greet(); await turn(); }
  assert.deepEqual(links.map(({ transport }) => transport), ["poll"]);
});

test("a channel that is left and wanted again before the stream has changed starts anew", async () => {
  const { connection, links } = world({ channels: ["a", "b"] });
  await turn();
  links[0].greet(`${idOf("a", 1, 1)}.${idOf("b", 1, 1)}`);
  links[0].sink.say("message", { channel: "b", id: idOf("b", 1, 2) });
  connection.unwant("b");
  connection.settle();
  connection.want("b", "latest");
  connection.settle();
  await turn();
  assert.equal(links.length, 2, "the server is asked where it stands now");
  links[1].greet(`${idOf("a", 1, 1)}.${idOf("b", 1, 3)}`);
  // What is published from here on must not be lost with the link.
  links.at(-1).sink.lost("failed");
  await pass(1_000);
  const cursor = links.at(-1).attempt.cursor(["a", "b"]);
  assert.deepEqual(cursor.split(".").sort(), [idOf("a", 1, 1), idOf("b", 1, 3)].sort());
});

test("a channel that nobody wants any more leaves no position behind", async () => {
  const { connection, links } = world();
  await turn();
  links[0].greet(idOf("a", 1, 1));
  for (let n = 0; n < 300; n += 1) {
    connection.want(`b${n}`, "latest");
    connection.settle();
    await turn();
    links.at(-1).greet(`${idOf("a", 1, 1)}.${idOf(`b${n}`, 1, 5)}`);
    connection.unwant(`b${n}`);
    connection.settle();
    // The old stream has it until the new one is greeted.
    links.at(-2)?.sink.say("message", { channel: `b${n}`, id: idOf(`b${n}`, 1, 6) });
    links.at(-1).sink.say("message", { channel: `b${n}`, id: idOf(`b${n}`, 1, 7) });
    await turn();
    links.at(-1).greet(idOf("a", 1, 1));
  }
  assert.equal(links.at(-1).attempt.cursor(["a"]), idOf("a", 1, 1));
  connection.want("b7", "latest");
  assert.equal(links.at(-1).attempt.cursor(["a", "b7"]), `latest.${idOf("a", 1, 1)}`);
});

test("channels that come and go on a WebSocket leave no position behind", async () => {
  const { connection, links } = world({ fixed: ["ws"] });
  await turn();
  links[0].greet(idOf("a", 1, 1));
  for (let n = 0; n < 300; n += 1) {
    connection.want("b", "latest");
    connection.settle();
    links[0].sink.say("hello", { cursor: idOf("b", 1, n), channels: ["b"] });
    assert.equal(links[0].attempt.cursor(["b"]), idOf("b", 1, n), "it starts where it is subscribed now");
    connection.unwant("b");
    connection.settle();
  }
  assert.equal(links[0].attempt.cursor(["a"]), idOf("a", 1, 1));
});

test("a refusal of channels from the latest does not keep those from the earliest waiting", async () => {
  const { connection, links, said } = world({ channels: ["secret"] });
  connection.want("news", "earliest");
  connection.settle();
  await turn();
  assert.deepEqual(links.at(-1).attempt.channels, ["secret"]);
  links.at(-1).sink.lost("stop", "no");
  await pass(1_000);
  assert.deepEqual(said.denied, [["secret", "no"]]);
  assert.deepEqual(links.at(-1).attempt.channels, ["secret", "news"]);
  assert.equal(links.at(-1).attempt.cursor(["secret", "news"]), "earliest");
  links.at(-1).greet(idOf("news", 1, 1));
  links.at(-1).sink.say("denied", { channel: "secret" });
  connection.want("more", "earliest");
  connection.settle();
  await turn();
  assert.deepEqual(links.at(-1).attempt.channels, ["secret", "news", "more"]);
  assert.equal(links.at(-1).attempt.cursor(["secret", "news", "more"]), `earliest.${idOf("news", 1, 1)}`);
});

test("a server that says not to come back is not come back to", async () => {
  const { connection, links } = world();
  await turn();
  links[0].greet();
  links[0].sink.say("bye", { code: "auth_timeout", reason: "no token came", reconnect: false });
  assert.equal(connection.state.current, "stopped");
});
