// What every browser test needs: the built server on a free port, Debian's Chromium, a page with
// its complaints recorded, and waiting for a condition. Each thing ends with the test that asked.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { chromium } from "playwright-core";

const BINARY =
  process.env.BELLWIRE_BIN ??
  fileURLToPath(new URL("../../target/release/bellwire", import.meta.url));
const CHROMIUM = process.env.CHROMIUM_BIN ?? "/usr/bin/chromium";
const CHROMIUM_FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
/** Ms after which a condition that has not come true fails its test. */
const PATIENCE_MS = 20_000;

/** Starts `bellwire serve --dev` on a free port; `url` is what it printed to open. */
export async function startServer(t, { flags = [], config = "" } = {}) {
  const directory = await temporaryDirectory();
  const file = join(directory, "bellwire.toml");
  await writeFile(file, config);
  const args = ["serve", "--dev", "--listen", "127.0.0.1:0", "--config", file, ...flags];
  const said = /http:\/\/[^\s/]+:\d+\/(\?key=[\w-]+)?/;
  const url = new URL(await startProgram(t, { program: BINARY, args, said, directory }));
  return { url: url.href, origin: url.origin, port: url.port, key: url.searchParams.get("key") };
}

/**
 * Starts Chromium. `browser.contexts()[0]` is its window, whose tabs hide each other as a
 * person's do; pages of `browser.newContext()` all believe that they are visible.
 */
export async function openBrowser(t, flags = []) {
  const directory = await temporaryDirectory();
  const own = [`--user-data-dir=${directory}`, "--remote-debugging-port=0", "about:blank"];
  const args = [...CHROMIUM_FLAGS, ...flags, ...own];
  const said = /ws:\/\/127\.0\.0\.1:\d+\/\S+/;
  const endpoint = await startProgram(t, { program: CHROMIUM, args, said, directory });
  return chromium.connectOverCDP(endpoint, { noDefaults: true });
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

/** One pane's parts, as locators. */
export function pane(page, index) {
  const root = page.locator(".pane").nth(index);
  const part = (name) => root.locator(`.${name}`);
  return { root, state: part("state"), cut: part("cut"), back: part("back"), messages: part("messages"), part };
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

/** Runs the real curl and returns what it printed; fails on an HTTP error. */
export async function curl(...args) {
  const { stdout } = await promisify(execFile)("curl", ["--silent", "--show-error", "--fail-with-body", ...args]);
  return stdout;
}

/** Waits until `condition` returns something true, and returns that. */
export async function until(condition, what) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(Date.now() < deadline, `gave up waiting: ${what}`);
    await new Promise((again) => setTimeout(again, 20));
  }
}

/** How many connections the server lists. */
export async function connectionCount(origin) {
  const listing = JSON.parse(await curl(`${origin}/v1/connections`));
  return listing.connections.length;
}

function temporaryDirectory() {
  return mkdtemp(join(tmpdir(), "bellwire-browser-"));
}

/**
 * Starts a program that keeps its files in `directory`, and waits until its output matches
 * `said`. Both are gone when the test ends.
 */
async function startProgram(t, { program, args, said, directory }) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  const exited = once(child, "exit");
  t.after(async () => {
    child.kill("SIGKILL");
    await exited;
    await rm(directory, { recursive: true, force: true, maxRetries: 10 });
  });
  let output = "";
  return new Promise((resolve, reject) => {
    const read = (bytes) => {
      output += bytes;
      const match = output.match(said);
      if (match) resolve(match[0]);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    exited.then(([code]) => reject(new Error(`${program} ended with ${code}:\n${output}`)), reject);
  });
}
