// What the browser tests need beside the programs: a page with its complaints recorded, and the
// parts of the start page.

import { chromium } from "playwright-core";

import { PATIENCE_MS, startChromium } from "./programs.mjs";

export { certificateFlags, connectionCount, curl, startServer, until } from "./programs.mjs";

/**
 * Starts Chromium. `browser.contexts()[0]` is its window, whose tabs hide each other as a
 * person's do; pages of `browser.newContext()` all believe that they are visible.
 */
export async function openBrowser(t, flags = []) {
  return chromium.connectOverCDP(await startChromium(t, flags), { noDefaults: true });
}

/** Opens the start page and waits until its three wires are live. */
export async function openStartPage(context, url) {
  const page = await context.newPage();
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") page.complaints.push(message.text());
  });
  await page.goto(url, { waitUntil: "commit", timeout: 3 * PATIENCE_MS });
  await allLive(page);
  return page;
}

/** Waits until all three wires of the page are live. */
export function allLive(page) {
  const live = () => document.querySelectorAll('.pane[data-state="live"]').length === 3;
  return page.waitForFunction(live, null, { timeout: 3 * PATIENCE_MS });
}

/** Waits until all three wires know where they stand: from there they come back. */
export function allBegun(page) {
  const begun = () => document.querySelectorAll(".cut:enabled").length === 3;
  return page.waitForFunction(begun, null, { timeout: 3 * PATIENCE_MS });
}

/** One pane's parts, as locators. */
export function pane(page, index) {
  const root = page.locator(".pane").nth(index);
  const part = (name) => root.locator(`.${name}`);
  const [state, cut, back, messages] = ["state", "cut", "back", "messages"].map(part);
  return { root, state, cut, back, messages };
}

/** All three panes. */
export function panes(page) {
  return [0, 1, 2].map((index) => pane(page, index));
}

/** Waits until all three panes show a message with this text. */
export function shown(page, text) {
  const row = ({ messages }) => messages.getByText(text, { exact: true }).first().waitFor();
  return Promise.all(panes(page).map(row));
}

/** What the counters of all panes say. */
export function counters(page) {
  return page.locator(".pane").evaluateAll((roots) =>
    roots.map((root) => {
      const number = (name) => root.querySelector(`.${name}`).textContent;
      return { received: number("received"), replayed: number("replayed"), lost: number("lost") };
    }),
  );
}
