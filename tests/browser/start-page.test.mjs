// The start page as a person uses it: receive, cut a wire, hide the tab, hold a phone.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  allBegun, allLive, connectionCount, counters, curl, openBrowser, openStartPage, pane, panes, shown,
  startServer, until,
} from "./harness.mjs";

const TRANSPORTS = ["sse", "ws", "poll"];
const publishUrl = ({ origin }) => `${origin}/v1/channels/demo`;

test("a message published with curl arrives in all three panes", async (t) => {
  const server = await startServer(t);
  const browser = await openBrowser(t);
  const page = await openStartPage(await browser.newContext(), server.url);
  await curl("-d", "hello from curl", publishUrl(server));
  await shown(page, "hello from curl");
  for (const [index, transport] of TRANSPORTS.entries()) {
    const { root } = pane(page, index);
    assert.equal(await root.getAttribute("data-transport"), transport);
  }
  const once = { received: "1", replayed: "0", lost: "0" };
  assert.deepEqual(await counters(page), [once, once, once]);
  assert.equal(await page.locator("#send").textContent(), `curl -d 'hello' ${publishUrl(server)}`);
  assert.equal(
    await page.locator("#receive").textContent(),
    `curl -N '${server.origin}/v1/sse?channel=demo'`,
  );
  assert.deepEqual(page.complaints, []);
});

test("the publish box publishes text as text and JSON as JSON", async (t) => {
  const server = await startServer(t);
  const browser = await openBrowser(t);
  const page = await openStartPage(await browser.newContext(), server.url);
  for (const [typed, rendered] of [["plain words", "plain words"], ['{ "a": 1 }', '{"a":1}']]) {
    await page.getByLabel("Publish a message").fill(typed);
    await page.getByRole("button", { name: "Publish" }).click();
    await shown(page, rendered);
  }
  await page.getByText(/^Published as \S+$/).waitFor();
  assert.deepEqual(page.complaints, []);
});

for (const [index, transport] of TRANSPORTS.entries()) {
  const next = TRANSPORTS[(index + 1) % TRANSPORTS.length];
  test(`a wire cut on ${transport} comes back on ${next} with everything it missed`, async (t) => {
    const server = await startServer(t);
    const browser = await openBrowser(t);
    const page = await openStartPage(await browser.newContext(), server.url);
    const { root, back, messages } = pane(page, index);
    await allBegun(page);

    await page.getByLabel("Publish a message").fill("while it was cut");
    await root.evaluate(cutAndPublish);
    await page.waitForFunction(() => window.states.includes("cut"));
    await back.getByText(/replayed [1-9]\d*, lost 0$/).waitFor();
    assert.equal(await root.getAttribute("data-transport"), next);
    await messages.locator("li", { hasText: "while it was cut" }).getByText("replayed").waitFor();

    // Once all panes have the last message, they have the same ones.
    await curl("-d", "the end", publishUrl(server));
    await shown(page, "the end");
    const all = await counters(page);
    assert.deepEqual(new Set(all.map(({ received }) => received)).size, 1, JSON.stringify(all));
    assert.ok(all.every(({ lost }) => lost === "0"), JSON.stringify(all));
    assert.ok(Number(all[index].replayed) >= 2, JSON.stringify(all));
    assert.deepEqual(page.complaints, []);
  });
}

/**
 * Runs in the page, as a wire is cut for three seconds only: cuts one, publishes what is in the box,
 * and keeps the states that the pane shows.
 */
function cutAndPublish(pane) {
  window.states = [];
  const look = () => window.states.push(pane.dataset.state);
  new MutationObserver(look).observe(pane, { attributeFilter: ["data-state"] });
  pane.querySelector(".cut").click();
  document.querySelector("#publish button").click();
}

test("a wire can be cut all the way round", async (t) => {
  const server = await startServer(t);
  const browser = await openBrowser(t);
  const page = await openStartPage(await browser.newContext(), server.url);
  const { root, cut, back } = pane(page, 0);
  for (const transport of ["ws", "poll", "sse"]) {
    await cut.click();
    await page.locator(`.pane[data-state="live"][data-transport="${transport}"]`).first().waitFor();
    await until(async () => (await root.getAttribute("data-transport")) === transport, transport);
    await back.getByText(/replayed [1-9]\d*, lost 0$/).waitFor();
  }
  assert.deepEqual(page.complaints, []);
});

test("a hidden tab holds no connection and comes back without loss", async (t) => {
  const server = await startServer(t);
  const browser = await openBrowser(t);
  const window = browser.contexts()[0];
  const page = await openStartPage(window, server.url);
  let published = Date.now();
  await curl("-d", "before", publishUrl(server));
  await shown(page, "before");
  // The page knows the server's clock from the quickest message it got, no better than this.
  const took = Date.now() - published;

  const other = await window.newPage();
  await other.bringToFront();
  await until(async () => (await connectionCount(server.origin)) === 0, "connections are released");
  assert.equal(await page.title(), "Bellwire (paused)");
  for (const n of [1, 2, 3]) await curl("-d", `hidden ${n}`, publishUrl(server));
  published = Date.now();
  await until(() => Date.now() - published > took, "messages that are clearly older than the return");

  await page.bringToFront();
  await allLive(page);
  await page.getByText("so its connections were released").waitFor();
  await shown(page, "hidden 3");
  for (const { back } of panes(page)) await back.getByText("replayed 3, lost 0").waitFor();
  const whole = { received: "4", replayed: "3", lost: "0" };
  assert.deepEqual(await counters(page), [whole, whole, whole]);
  assert.deepEqual(page.complaints, []);
});

test("a server that forgot everything is a gap, and each pane says so", async (t) => {
  const server = await startServer(t);
  const browser = await openBrowser(t);
  const page = await openStartPage(await browser.newContext(), server.url);
  await curl("-d", "before", publishUrl(server));
  await shown(page, "before");

  await server.stop();
  for (const { state } of panes(page)) await state.getByText("Trying again").waitFor();
  await startServer(t, { port: server.port });
  await allLive(page);
  await curl("-d", "after", publishUrl(server));
  await shown(page, "after");
  for (const { back } of panes(page)) {
    await back.getByText("lost some (gap: epoch_changed)").waitFor();
  }
});

test("nothing overflows from 320 to 1400 pixels, in every state", async (t) => {
  const server = await startServer(t);
  const browser = await openBrowser(t);
  const page = await openStartPage(await browser.newContext(), server.url);
  await curl("-d", "a_word_longer_than_any_phone_is_wide_".repeat(8), publishUrl(server));
  await pane(page, 2).messages.getByText("a_word").waitFor();
  const states = [
    async () => {},
    async () => pane(page, 0).cut.click(),
    async () => pane(page, 0).back.getByText(/replayed/).waitFor(),
  ];
  for (const reach of states) {
    await reach();
    for (const width of [320, 360, 480, 703, 704, 768, 1023, 1024, 1280, 1400]) {
      await page.setViewportSize({ width, height: 800 });
      const widest = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(widest <= width, `${widest} px of content in ${width} px`);
    }
  }
});
