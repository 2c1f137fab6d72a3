// Over HTTP/1.1 a browser opens six connections per host. Tabs that hide give theirs back; tabs
// that are all visible run out of them, say so, and go on when one is free.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  allBegun, allLive, connectionCount, counters, curl, openBrowser, openStartPage, shown, startServer, until,
} from "./harness.mjs";

const CAP = "this browser allows six connections per host over HTTP/1.1; " +
  "close other tabs or use the WebSocket pane";

/** A turn comes when a poll ends, which is held for 20 s, and a page with its scripts needs some. */
const BY_AND_BY_MS = 180_000;

test("of four tabs in one window only the one in front holds connections", async (t) => {
  const server = await startServer(t);
  const browser = await openBrowser(t);
  const window = browser.contexts()[0];
  const tabs = [];
  for (let n = 0; n < 4; n += 1) {
    const tab = await openStartPage(window, server.url);
    await allBegun(tab);
    tabs.push(tab);
  }
  await until(async () => (await connectionCount(server.origin)) === 3, "three connections");
  await curl("-d", "to all tabs", `${server.origin}/v1/channels/demo`);
  for (const tab of tabs) {
    await tab.bringToFront();
    await shown(tab, "to all tabs");
    assert.ok((await counters(tab)).every(({ lost }) => lost === "0"));
  }
});

test("four visible tabs reach the cap, say so, and recover when others close", async (t) => {
  const server = await startServer(t);
  const browser = await openBrowser(t);
  const context = await browser.newContext();
  const tabs = [];
  for (let n = 0; n < 3; n += 1) tabs.push(await openStartPage(context, server.url));
  // With all six connections held, the fourth loads by and by, as polls take turns.
  const fourth = await context.newPage();
  tabs.push(fourth);
  const loaded = fourth.goto(server.url, { timeout: BY_AND_BY_MS });
  const crowded = tabs.map((tab) => tab.getByText(CAP).first().waitFor({ timeout: BY_AND_BY_MS }));
  await Promise.any(crowded);
  await loaded;

  for (const tab of tabs.slice(0, 3)) await tab.close();
  await allLive(fourth);
  await fourth.getByText(CAP).first().waitFor({ state: "detached" });
  await curl("-d", "after the crowd", `${server.origin}/v1/channels/demo`);
  await shown(fourth, "after the crowd");
  assert.ok((await counters(fourth)).every(({ lost }) => lost === "0"));
});
