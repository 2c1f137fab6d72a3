// Tabs that share a connection: more of them than HTTP/1.1 allows streams, one connection on the
// server, and a leader that goes.

import assert from "node:assert/strict";
import { test } from "node:test";

import { connectionCount, startServer } from "../../../../tests/browser/programs.mjs";
import { openBrowser } from "../support/browser.mjs";
import { startFaultProxy } from "../support/fault-proxy.mjs";
import { startPages } from "../support/pages.mjs";
import { post, until } from "../support/values.mjs";

const TABS = 8;

async function openTab(context, pages, origin) {
  const page = await context.newPage();
  await page.goto(`${pages}/`);
  await page.evaluate(async (origin) => {
    const { shared } = await import("/dist/shared.js");
    globalThis.seen = { messages: [], gaps: [] };
    globalThis.live = shared(origin);
    globalThis.listen = (name) => {
      const room = live.channel(name);
      room.on("*", (data) => seen.messages.push(data));
      room.on("gap", (gap) => seen.gaps.push(gap.reason));
      return room;
    };
    globalThis.room = listen("room");
  }, origin);
  await page.waitForFunction(() => live.state.current === "connected");
  return page;
}
const messagesOf = (page) => page.evaluate(() => seen.messages);

async function setUp(t) {
  const server = await startServer(t);
  const pages = await startPages(t);
  const browser = await openBrowser(t);
  const context = await browser.newContext();
  const proxy = await startFaultProxy(t, server.port);
  return { server, proxy, open: () => openTab(context, pages, proxy.origin) };
}

test("eight tabs are live over one connection, and closing the leader loses nothing", async (t) => {
  const { server, open } = await setUp(t);
  const tabs = [];
  for (let n = 0; n < TABS; n += 1) tabs.push(await open());
  await until(async () => (await connectionCount(server.origin)) === 1, "one connection");
  let published = 0;
  const publish = async (count) => {
    for (let n = 0; n < count; n += 1) await post(server.origin, "room", published++);
  };
  await publish(20);
  const publishing = publish(60);
  await tabs.shift().close();
  await publishing;
  await publish(20);
  for (const tab of tabs) {
    await tab.waitForFunction((last) => seen.messages.includes(last), published - 1);
    assert.deepEqual(await messagesOf(tab), [...Array(published).keys()]);
    assert.deepEqual(await tab.evaluate(() => seen.gaps), []);
  }
  await until(async () => (await connectionCount(server.origin)) === 1, "one connection again");
});

test("tabs come, go, and listen to channels of their own", async (t) => {
  const { server, open } = await setUp(t);
  const [first, second] = [await open(), await open()];
  await second.evaluate(() => void listen("mine"));
  await until(async () => {
    await post(server.origin, "mine", "hello");
    return (await messagesOf(second)).includes("hello");
  }, "the second tab hears of its own channel");
  assert.deepEqual(await messagesOf(first), []);
  await second.evaluate(() => room.publish({ from: "second" }));
  await until(async () => (await messagesOf(first)).length === 1, "the first hears the second");
  assert.deepEqual(await messagesOf(first), [{ from: "second" }]);
  await second.close();
  const third = await open();
  await post(server.origin, "room", "to both");
  for (const tab of [first, third]) await until(async () => (await messagesOf(tab)).includes("to both"), "both hear");
});

test("what is lost to all of them is said to each", async (t) => {
  const { server, proxy, open } = await setUp(t);
  const tabs = [await open(), await open(), await open()];
  await post(server.origin, "room", "before");
  for (const tab of tabs) await tab.waitForFunction(() => seen.messages.length === 1);
  proxy.refuse = true;
  proxy.cut();
  for (let n = 0; n < 120; n += 1) await post(server.origin, "room", n);
  proxy.refuse = false;
  for (const tab of tabs) {
    await tab.waitForFunction(() => seen.messages.includes(119));
    assert.deepEqual(await tab.evaluate(() => seen.gaps), ["retention"]);
    assert.deepEqual(await messagesOf(tab), ["before", ...Array.from({ length: 100 }, (_, n) => 20 + n)]);
  }
});
