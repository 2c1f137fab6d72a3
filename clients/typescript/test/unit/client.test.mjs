// The client as its users hold it, with a server that answers what a test says.

import assert from "node:assert/strict";
import { test } from "node:test";

import { bellwire } from "../../dist/index.js";
import { idOf } from "../support/ids.mjs";

const turn = () => new Promise((next) => setTimeout(next));
const json = (body) => new Response(JSON.stringify(body), { headers: { "content-type": "application/json" } });
const problem = (status, code) =>
  new Response(JSON.stringify({ code, detail: code }), { status, headers: { "content-type": "application/problem+json" } });
const receipts = (items) =>
  items.map(({ channel }) => ({ channel, id: idOf(channel, 1, 1), durability: "memory", duplicate: false }));

/** A client whose requests are kept, and answered by `answer(url, init)`; its streams are `links`. */
function open(t, { answer = async () => json({ messages: [] }), ...options } = {}) {
  const world = { requests: [], links: [] };
  const sse = (_, attempt, sink) => {
    world.links.push({ attempt, sink, channels: attempt.channels, cursor: attempt.cursor(attempt.channels) });
    return { close() {} };
  };
  const fetch = async (url, init) => {
    world.requests.push({ url: new URL(url), body: init.body && JSON.parse(init.body), headers: init.headers });
    return answer(world.requests.at(-1), init);
  };
  world.live = bellwire("http://server/", { transports: ["sse"], via: { sse }, fetch, ...options });
  t.after(world.live.close);
  return world;
}

test("a page of history may be asked for with options that are undefined", async (t) => {
  const { live, requests } = open(t);
  await live.channel("a").history({ cursor: undefined, limit: undefined });
  assert.equal(requests[0].url.search, "");
});

test("a token that was refused to history is not shown again", async (t) => {
  let tokens = 0;
  const answer = async ({ headers }) =>
    headers.authorization === "Bearer token 2" ? json({ messages: [] }) : problem(401, "token_invalid");
  const { live } = open(t, { answer, token: () => `token ${(tokens += 1)}` });
  await assert.rejects(live.channel("a").history(), { code: "token_invalid" });
  assert.deepEqual(await live.channel("a").history(), { messages: [] });
});

test("a token whose time has come is renewed also where nothing is connected", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: 1_000_000 });
  const tokenFor = (seconds) =>
    `x.${Buffer.from(JSON.stringify({ exp: Date.now() / 1_000 + seconds })).toString("base64url")}.y`;
  const { live, requests } = open(t, { token: () => tokenFor(600) });
  const room = live.channel("a");
  await room.history();
  await room.history();
  t.mock.timers.setTime(2_000_000);
  await room.history();
  const shown = requests.map(({ headers }) => headers.authorization);
  assert.equal(shown[0], shown[1]);
  assert.equal(shown[2], `Bearer ${tokenFor(600)}`);
});

test("what cannot be JSON is refused at once, and holds nothing up", async (t) => {
  const { live } = open(t, { answer: async ({ body }) => json(receipts(body)) });
  const room = live.channel("a");
  const circle = {};
  circle.self = circle;
  const outcomes = await Promise.allSettled([room.publish(1n), room.publish(circle), room.publish("fine")]);
  assert.deepEqual(outcomes.map(({ status, reason }) => reason?.name ?? status), ["TypeError", "TypeError", "fulfilled"]);
});

test("a payload is published as it was when publish was called", async (t) => {
  const { live, requests } = open(t, { answer: async ({ body }) => json(receipts(body)) });
  const state = { n: 1 };
  const first = live.channel("a").publish(state);
  state.n = 2;
  await Promise.all([first, live.channel("a").publish(state)]);
  assert.deepEqual(requests.flatMap(({ body }) => body.map(({ data }) => data.n)), [1, 2]);
});

test("bytes that are none arrive as bytes", async (t) => {
  const { live, links } = open(t);
  const got = [];
  live.channel("a").on("*", (data) => got.push(data));
  await turn();
  links[0].sink.say("message", { channel: "a", id: idOf("a", 1, 1), time: 1, base64: "" });
  assert.deepEqual(got, [new Uint8Array()]);
});

test("a listener that another one stops hears nothing more", async (t) => {
  const { live, links } = open(t);
  const heard = [];
  const ending = new AbortController();
  live.channel("a").on("*", () => { stop(); ending.abort(); });
  const stop = live.channel("a").on("*", () => heard.push("stopped"));
  live.channel("a").on("*", () => heard.push("aborted"), { signal: ending.signal });
  await turn();
  links[0].sink.say("message", { channel: "a", id: idOf("a", 1, 1), time: 1, data: 1 });
  assert.deepEqual(heard, []);
});

test("what waits to be published goes out as soon as the client is connected again", async (t) => {
  let down = true;
  const answer = async ({ body }) => {
    if (down) throw new TypeError("the network is gone");
    return json(receipts(body));
  };
  const { live, links, requests } = open(t, { answer });
  live.channel("a").on("*", () => {});
  await turn();
  t.mock.method(Math, "random", () => 1);
  const published = live.channel("a").publish("hello");
  await turn();
  assert.equal(requests.length, 1);
  down = false;
  links[0].sink.say("hello", { cursor: idOf("a", 1, 1) });
  await turn();
  assert.equal(requests.length, 2, "and not after a wait");
  await published;
});

test("closing ends history that is under way", async (t) => {
  const answer = (_, { signal }) =>
    new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const { live } = open(t, { answer });
  const asked = live.channel("a").history();
  await turn();
  live.close();
  await assert.rejects(asked, { name: "AbortError" });
});
