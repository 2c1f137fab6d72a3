// Who may use the page: the key of --dev-public opens it on a network, and pages of a foreign
// origin reach nothing.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { promisify } from "node:util";

import { allLive, curl, openBrowser, openStartPage, shown, startServer } from "./harness.mjs";

/** `.example` hosts lead to this machine, so only the Origin tells a page apart. */
const RESOLVE = "--host-resolver-rules=MAP *.example 127.0.0.1";

test("with --dev-public the printed key opens the page and leaves the address bar", async (t) => {
  const server = await startServer(t, { flags: ["--dev-public"] });
  assert.ok(server.key, "a key is printed");
  const browser = await openBrowser(t);
  const context = await browser.newContext();
  const page = await openStartPage(context, server.url);
  assert.equal(page.url(), `${server.origin}/`);

  const cookies = await context.cookies();
  assert.equal(cookies.length, 1);
  assert.equal(cookies[0].httpOnly, true);
  assert.equal(cookies[0].sameSite, "Strict");

  const line = await page.locator("#send").textContent();
  assert.equal(
    line,
    `curl -d 'hello' -H 'Authorization: Bearer ${server.key}' ${server.origin}/v1/channels/demo`,
  );
  await promisify(execFile)("sh", ["-c", `${line} --fail --silent`]);
  await shown(page, "hello");

  // The cookie alone is enough from now on.
  await page.reload();
  await allLive(page);
  await page.getByRole("button", { name: "Publish" }).click();
  await shown(page, "hello");
  assert.deepEqual(page.complaints, []);
});

test("with --dev-public nothing opens without the key", async (t) => {
  const server = await startServer(t, { flags: ["--dev-public"] });
  const browser = await openBrowser(t);
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${server.origin}/livez`);
  assert.deepEqual(await tryEverything(page, server.origin), REFUSED_HERE);
});

test("a page of a foreign origin can neither receive nor publish", async (t) => {
  const pages = createServer((_, response) => {
    response.setHeader("content-type", "text/html").end("<!doctype html><title>Elsewhere</title>");
  }).listen(0, "127.0.0.1");
  t.after(() => pages.close());
  t.after(() => pages.closeAllConnections());
  await once(pages, "listening");
  const { port } = pages.address();
  const friend = `http://friend.example:${port}`;
  const server = await startServer(t, { flags: ["--allow-origin", friend] });
  const browser = await openBrowser(t, [RESOLVE]);
  const page = await (await browser.newContext()).newPage();

  await page.goto(`http://foreign.example:${port}/`);
  assert.deepEqual(await tryEverything(page, server.origin), REFUSED_ELSEWHERE);
  const history = JSON.parse(await curl(`${server.origin}/v1/channels/demo/history`));
  assert.deepEqual(history.messages, []);

  // The same page from an allowed origin gets through, so it is the Origin that was refused.
  await page.goto(`${friend}/`);
  assert.deepEqual(await tryEverything(page, server.origin), ALLOWED);
});

test("a foreign name that leads to this machine does not open the page", async (t) => {
  const server = await startServer(t);
  const browser = await openBrowser(t, [RESOLVE]);
  const page = await (await browser.newContext()).newPage();
  const response = await page.goto(`http://rebound.example:${server.port}/`);
  assert.ok(response.status() >= 400, `got ${response.status()}`);
});

const ALLOWED = { sse: "open", ws: "open", poll: 200, publish: 200 };
/** A foreign page may not even see the refusal. */
const REFUSED_ELSEWHERE = { sse: "refused", ws: "refused", poll: "blocked", publish: "blocked" };
const REFUSED_HERE = { sse: "refused", ws: "refused", poll: 401, publish: 401 };

/**
 * Tries each transport and a publish from inside the page. A WebSocket may open before it says
 * who it is, so what counts is whether it is greeted or closed.
 */
function tryEverything(page, origin) {
  return page.evaluate(async (base) => {
    const stream = (source) =>
      new Promise((resolve) => {
        source.addEventListener("hello", () => resolve("open"));
        source.onerror = () => resolve("refused");
      }).finally(() => source.close());
    const greeted = (socket) =>
      new Promise((resolve) => {
        socket.onmessage = ({ data }) => JSON.parse(data).hello && resolve("open");
        socket.onclose = () => resolve("refused");
      }).finally(() => socket.close());
    const status = (path, init) =>
      fetch(`${base}${path}`, init).then((response) => response.status, () => "blocked");
    return {
      sse: await stream(new EventSource(`${base}/v1/sse?channel=demo`)),
      ws: await greeted(new WebSocket(`${base.replace("http", "ws")}/v1/ws?channel=demo`)),
      poll: await status("/v1/poll?channel=demo&timeout=0"),
      publish: await status("/v1/channels/demo", { method: "POST", body: "intruder" }),
    };
  }, origin);
}
