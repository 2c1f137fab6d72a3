// Each demo with two pages, as somebody would try it. BELLWIRE_SCREENSHOTS=docs/demos keeps what
// they look like, on a desk and on a phone.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { test } from "node:test";

import { curl, startServer, until } from "../../../../tests/browser/programs.mjs";
import { openBrowser } from "../support/browser.mjs";

const SIZES = { desktop: { width: 1100, height: 800 }, phone: { width: 390, height: 844 } };
const folder = process.env.BELLWIRE_SCREENSHOTS;

/** Opens a demo in a window of its own. */
async function visit(browser, server, name, size = SIZES.desktop) {
  const page = await (await browser.newContext({ viewport: size })).newPage();
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(error.message));
  page.on("console", (message) => message.type() === "error" && page.complaints.push(`${message.text()} ${message.location().url}`));
  await page.goto(`${server.origin}/demo/${name}`);
  await page.getByText(/connected by/).waitFor();
  return page;
}

async function twoPages(t, name) {
  const server = await startServer(t);
  const browser = await openBrowser(t);
  const [first, second] = [await visit(browser, server, name), await visit(browser, server, name, SIZES.phone)];
  return { server, browser, first, second };
}

/** Nothing was complained about, nothing overflows, and the pages are kept to be looked at. */
async function finish(name, first, second) {
  for (const page of [first, second]) {
    const [widest, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(widest <= width, `${widest} px of content in ${width} px`);
    assert.deepEqual(page.complaints, []);
  }
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await first.screenshot({ path: `${folder}/${name}-desktop.png` });
  await second.screenshot({ path: `${folder}/${name}-phone.png` });
}

test("chat: both see every message in one order, who types, and what was said before", async (t) => {
  const { server, browser, first, second } = await twoPages(t, "chat.html");
  // It is shown for three seconds; who types on is shown for longer.
  await until(async () => {
    await first.getByLabel("Message").pressSequentially("hel");
    return second.getByText(/guest \d+ typing…/).isVisible();
  }, "the other sees who types");
  await first.getByLabel("Message").fill("hello there");
  await first.getByRole("button", { name: "Send" }).click();
  for (const page of [first, second]) await page.getByText("hello there").waitFor();
  await second.getByText("typing…").waitFor({ state: "detached" }).catch(() => {});
  for (const text of ["and hello to you", "how is the bell?"]) {
    await second.getByLabel("Message").fill(text);
    await second.getByRole("button", { name: "Send" }).click();
  }
  await first.getByText("how is the bell?").waitFor();
  const late = await visit(browser, server, "chat.html");
  await late.getByText("how is the bell?").waitFor();
  const [here, there] = await Promise.all([first, late].map((page) => page.locator("li").allTextContents()));
  assert.deepEqual(here, there);
  await finish("chat", first, second);
});

test("cursors: a pointer moves on the other page, and goes over a WebSocket", async (t) => {
  const { first, second } = await twoPages(t, "cursors.html");
  const box = await first.locator("#field").boundingBox();
  await first.mouse.move(box.x + 20, box.y + 20);
  await first.mouse.move(box.x + box.width / 2, box.y + box.height / 2, { steps: 30 });
  const cursor = second.locator(".cursor");
  await cursor.waitFor();
  await until(async () => Math.abs(Number.parseFloat(await cursor.evaluate(({ style }) => style.left)) - 50) < 2, "the pointer has arrived");
  await first.getByText("connected by ws").waitFor();
  await finish("cursors", first, second);
});

test("progress: a reload and a second tab see the whole text go on", async (t) => {
  const server = await startServer(t);
  const browser = await openBrowser(t);
  const first = await visit(browser, server, "progress.html");
  await first.getByRole("button", { name: "Start" }).click();
  await first.getByText(/Each word of this/).waitFor();
  await first.reload();
  await first.getByText(/Each word of this text is a publication/).waitFor();
  const second = await visit(browser, server, `progress.html${new URL(first.url()).hash}`, SIZES.phone);
  // Each of its words is a request, with a pause before it.
  for (const page of [first, second]) await page.getByText(/who has seen what\. $/).waitFor({ timeout: 90_000 });
  const [here, there] = await Promise.all([first, second].map((page) => page.locator("#text").textContent()));
  assert.equal(here, there);
  assert.equal(here.match(/Each word/g).length, 1);
  await finish("progress", first, second);
  // A reload on a slow network does not begin the job again.
  let published = 0;
  await first.route("**/v1/publish?*", (route) => route.continue(void (published += 1)));
  await first.route("**/v1/sse?*", (route) => setTimeout(() => route.continue(), 1_000));
  await first.reload();
  await first.getByText(/who has seen what\. $/).waitFor();
  assert.equal(published, 0);
});

test("dashboard: a sample shows on both pages, and only one of them reads metrics", async (t) => {
  const server = await startServer(t);
  const browser = await openBrowser(t);
  const context = await browser.newContext({ viewport: SIZES.desktop });
  const pages = [];
  /** The page of each request for metrics. */
  const readers = [];
  for (const size of Object.values(SIZES)) {
    const page = await context.newPage();
    page.complaints = [];
    page.on("pageerror", (error) => page.complaints.push(error.message));
    page.on("request", (request) => request.url().endsWith("/metrics") && readers.push(page));
    await page.setViewportSize(size);
    await page.goto(`${server.origin}/demo/dashboard.html`);
    pages.push(page);
  }
  for (const page of pages) await page.waitForFunction(() => document.querySelector("#tiles b").textContent === "2");
  const [first, second] = pages;
  const before = readers.length;
  await until(() => readers.length > before + 1, "two more samples");
  assert.equal(new Set(readers).size, 1, "one tab reads");
  await finish("dashboard", first, second);
});

test("dashboard: where a browser has no locks a tab reads for itself, and a refused sample is not the last", async (t) => {
  const server = await startServer(t);
  const browser = await openBrowser(t);
  const context = await browser.newContext({ viewport: SIZES.desktop });
  // As over plain HTTP from another machine.
  await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "locks", { value: undefined }));
  let refused = 0;
  await context.route("**/v1/publish?*", (route) => {
    if (refused++) return route.continue();
    const body = JSON.stringify({ code: "forbidden", detail: "not this one" });
    return route.fulfill({ status: 403, contentType: "application/problem+json", body });
  });
  const page = await context.newPage();
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(error.message));
  await page.goto(`${server.origin}/demo/dashboard.html`);
  await page.waitForFunction(() => document.querySelector("#tiles b").textContent === "1");
  assert.ok(refused > 1);
  assert.deepEqual(page.complaints, []);
});

test("drawing: a stroke is on both sheets, also for who comes later, and can be wiped", async (t) => {
  const { server, browser, first, second } = await twoPages(t, "pad.html");
  const inked = (page) =>
    page.evaluate(() => {
      const { width, height } = sheet;
      return sheet.getContext("2d").getImageData(0, 0, width, height).data.some((byte) => byte > 0);
    });
  const box = await first.locator("canvas").boundingBox();
  await first.mouse.move(box.x + 40, box.y + 40);
  await first.mouse.down();
  for (let n = 1; n <= 20; n += 1)
    await first.mouse.move(box.x + 40 + n * 20, box.y + 120 + 80 * Math.sin(n / 2));
  await first.mouse.up();
  await until(() => inked(second), "the stroke is on the other sheet");
  const late = await visit(browser, server, "pad.html");
  await until(() => inked(late), "the stroke is on a later sheet");
  await finish("pad", first, second);
  await second.getByRole("button", { name: "Wipe" }).click();
  for (const page of [first, second, late]) await until(async () => !(await inked(page)), "it is wiped");
});

test("notifications: each user gets their own, from the page and from curl", async (t) => {
  const { server, first, second } = await twoPages(t, "inbox.html");
  await first.getByRole("button", { name: "To Ann" }).click();
  for (const page of [first, second]) await page.locator('[data-user="ann"] li').waitFor();
  await curl("-d", "from a backend", `${server.origin}/v1/users/bob`);
  for (const page of [first, second])
    await page.locator('[data-user="bob"]').getByText("from a backend").waitFor();
  assert.equal(await first.locator('[data-user="ann"] li').count(), 1);
  await finish("inbox", first, second);
});
