// What a browser meets on its way: proxies that buffer, links that lead nowhere, a page put away.

import assert from "node:assert/strict";
import { test } from "node:test";

import { startServer } from "../../../../tests/browser/programs.mjs";
import { openBrowser } from "../support/browser.mjs";
import { startFaultProxy } from "../support/fault-proxy.mjs";
import { fallbacks } from "../support/metrics.mjs";
import { startNginx } from "../support/nginx.mjs";
import { openPage, startPages } from "../support/pages.mjs";
import { post, until } from "../support/values.mjs";

/** Begins to listen in a page; everything that happens is in the page's `seen`. */
async function listen(page, origin, options, sdk = "/bellwire.js") {
  await page.evaluate(
    async ([origin, options, sdk]) => {
      globalThis.seen = { since: Date.now(), messages: [], states: [], gaps: [] };
      const { bellwire } = await import(sdk);
      globalThis.live = bellwire(origin, options);
      live.on("state", (state) => seen.states.push({ ...state, at: Date.now() }));
      globalThis.room = live.channel("room");
      room.on("*", (data) => seen.messages.push(data));
      room.on("gap", (gap) => seen.gaps.push(gap));
    },
    [origin, options, sdk],
  );
  await page.waitForFunction(() => live.state.current === "connected");
}
const stateOf = (page) => page.evaluate(() => live.state);
const seenBy = (page) => page.evaluate(() => seen);
/** When the page was live for the first time, in ms since it began; by its own clock, as this process may look late. */
const liveAfter = (page) =>
  page.evaluate(() => seen.states.find(({ current }) => current === "connected").at - seen.since);

test("behind nginx at its worst a page is live within five seconds", async (t) => {
  const server = await startServer(t);
  const origin = await startNginx(t, server.port);
  const browser = await openBrowser(t);
  const page = await openPage(browser, `${origin}/livez`);
  await listen(page, origin);
  const took = await liveAfter(page);
  assert.ok(took < 5_000, `it took ${took} ms`);
  t.diagnostic(`live after ${took} ms by ${(await stateOf(page)).transport}`);
  await post(server.origin, "room", "hello");
  await until(async () => (await seenBy(page)).messages.length === 1, "the message");
  assert.equal((await stateOf(page)).transport, "poll");
  assert.equal(await fallbacks(server.origin, "sse-muted"), 1);
  assert.equal(await fallbacks(server.origin, "ws-failed"), 1);
  // The verdict holds for the next page, which is live at once.
  await page.reload();
  await listen(page, origin);
  assert.ok((await liveAfter(page)) < 2_000, "the network is remembered");
  assert.equal(await fallbacks(server.origin, "sse-muted"), 1);
});

test("a page of any site can import the client from the server", async (t) => {
  const server = await startServer(t);
  const pages = await startPages(t);
  const browser = await openBrowser(t);
  const page = await openPage(browser, `${pages}/`);
  await listen(page, server.origin, {}, `${server.origin}/bellwire.js`);
  await post(server.origin, "room", "hello");
  await until(async () => (await seenBy(page)).messages.length === 1, "the message");
  assert.deepEqual(page.complaints, []);
});

test("a link that leads nowhere is found within one and a half heartbeats", async (t) => {
  const server = await startServer(t, { config: 'heartbeat = "2s"' });
  const pages = await startPages(t);
  const browser = await openBrowser(t);
  // A poll has no heartbeats; it is held for 20 s, and then has as long as a greeting.
  const bounds = { sse: 3_000, ws: 3_000, poll: 23_000 };
  const find = async ([transport, bound]) => {
    const proxy = await startFaultProxy(t, server.port);
    const page = await openPage(browser, `${pages}/`);
    await listen(page, proxy.origin, { transports: [transport] });
    // The poll that is held comes after the one that greets.
    await until(() => proxy.requests.length >= (transport === "poll" ? 2 : 1), "what leads nowhere is out");
    proxy.halfOpen();
    const since = Date.now();
    const found = await page.waitForFunction(() => seen.states.find(({ reason }) => reason === "silent"), null, { timeout: 60_000 });
    const took = (await found.jsonValue()).at - since;
    // One request may have gone out, and been counted as a sign of life, just before.
    assert.ok(took < bound + 1_500, `${transport}: it took ${took} ms`);
    t.diagnostic(`${transport}: found after ${took} ms`);
    await page.waitForFunction(() => live.state.current === "connected");
    await post(server.origin, "room", transport);
    await until(async () => (await seenBy(page)).messages.includes(transport), `${transport} is live again`);
    assert.deepEqual((await seenBy(page)).gaps, []);
  };
  await Promise.all(Object.entries(bounds).map(find));
});

/** How a page comes back that waits for its next attempt, and how it went before. */
const RETURNS = {
  async "is shown again"(page, context) {
    const other = await context.newPage();
    await other.bringToFront();
    await until(() => page.evaluate(() => document.hidden), "it is hidden");
    return () => page.bringToFront();
  },
  async "is resumed"(page, context) {
    const devtools = await context.newCDPSession(page);
    return async () => {
      await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
      await devtools.send("Page.setWebLifecycleState", { state: "active" });
    };
  },
  async "hears that the network is back"(page, context) {
    await context.setOffline(true);
    return () => context.setOffline(false);
  },
};

for (const [name, leave] of Object.entries(RETURNS)) {
  test(`a page that ${name} is live within two seconds, however long it was to wait`, async (t) => {
    const server = await startServer(t);
    const pages = await startPages(t);
    const proxy = await startFaultProxy(t, server.port);
    const browser = await openBrowser(t);
    // A real window, whose tabs hide each other.
    const [context] = browser.contexts();
    const page = await context.newPage();
    await page.goto(`${pages}/`);
    await listen(page, proxy.origin);
    await page.evaluate(() => {
      const sign = ({ type }) => (type === "visibilitychange" && document.hidden) || (seen.back = Date.now());
      for (const type of ["visibilitychange", "resume", "online"]) addEventListener(type, sign, true);
    });
    proxy.refuse = true;
    proxy.cut();
    const comeBack = await leave(page, context);
    await post(server.origin, "room", "while away");
    await until(() => page.evaluate(() => live.state.retryAt > Date.now() + 4_000), "it is to wait for long", 60_000);
    proxy.refuse = false;
    await comeBack();
    await until(() => page.evaluate(() => seen.back && live.state.current === "connected"), "it is live");
    const took = await page.evaluate(() => seen.states.at(-1).at - seen.back);
    assert.ok(took < 2_000, `it took ${took} ms`);
    t.diagnostic(`live after ${took} ms`);
    await until(async () => (await seenBy(page)).messages.length === 1, "what it missed");
  });
}

test("a page that was put away for the back button comes back with what it missed", async (t) => {
  const server = await startServer(t);
  const pages = await startPages(t);
  const proxy = await startFaultProxy(t, server.port);
  const browser = await openBrowser(t);
  const page = await openPage(browser, `${pages}/`);
  await listen(page, proxy.origin);
  await post(server.origin, "room", "before");
  await until(async () => (await seenBy(page)).messages.length === 1, "the first message");
  // Headless Chromium keeps no page; the events are what the client sees of it.
  const transition = (name) =>
    page.evaluate((name) => void dispatchEvent(new PageTransitionEvent(name, { persisted: true })), name);
  await transition("pagehide");
  await until(() => proxy.pairs.size === 0, "the link is closed");
  assert.equal((await stateOf(page)).current, "waiting");
  await post(server.origin, "room", "while away");
  await transition("pageshow");
  await until(async () => (await seenBy(page)).messages.length === 2, "what it missed");
  assert.deepEqual((await seenBy(page)).gaps, []);
});

test("who ceases to talk is back on an event stream after a minute", async (t) => {
  const server = await startServer(t);
  const pages = await startPages(t);
  const proxy = await startFaultProxy(t, server.port);
  const browser = await openBrowser(t);
  const page = await (await browser.newContext()).newPage();
  await page.clock.install();
  await page.goto(`${pages}/`);
  await listen(page, proxy.origin);
  await page.evaluate(() => Promise.all([1, 2, 3].map((n) => room.publish(n))));
  await page.waitForFunction(() => live.state.transport === "ws");
  await page.clock.fastForward(25_000);
  await page.evaluate(() => room.publish(4));
  await page.clock.fastForward(29_000);
  await post(server.origin, "room", "still");
  await page.waitForFunction(() => seen.messages.length === 5);
  assert.equal((await stateOf(page)).transport, "ws");
  await page.clock.fastForward(29_000);
  await post(server.origin, "room", "heard");
  await page.waitForFunction(() => seen.messages.length === 6);
  await page.clock.fastForward(5_000);
  await page.waitForFunction(() => live.state.transport === "sse");
  await post(server.origin, "room", "end");
  await page.waitForFunction(() => seen.messages.length === 7);
  assert.deepEqual((await seenBy(page)).messages, [1, 2, 3, 4, "still", "heard", "end"]);
});
