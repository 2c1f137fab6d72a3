// Chromium over TLS: HTTP/2 lifts its cap of six connections, WebSockets come over HTTP/1.1 beside it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { certificateFlags, connectionCount, openBrowser, startServer, until } from "./harness.mjs";

const STREAMS = 20;
const TRUSTING = ["--ignore-certificate-errors"];

for (const inside of [[], ["--http2-websocket"]]) {
  test(`20 EventSources and a WebSocket are live over TLS${inside.map((flag) => ` with ${flag}`)} while a POST goes through`,
    (t) => allAtOnce(t, inside));
}

async function allAtOnce(t, flags) {
  const server = await startServer(t, { flags: [...await certificateFlags(t), ...flags] });
  const browser = await openBrowser(t, TRUSTING);
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${server.origin}/livez`);

  const opened = await page.evaluate(open, STREAMS);
  assert.equal(opened, STREAMS + 1);
  assert.equal(await page.evaluate(publish, "to everybody"), 200);
  await until(
    async () => (await page.evaluate(() => window.received)) === STREAMS + 1,
    "the message on every stream and the WebSocket",
  );
  assert.equal(await page.evaluate(() => window.failures), 0);
  // Requests of streams that go on are no finished resources; what is finished tells the protocol.
  const listed = () => performance.getEntriesByType("resource").map(({ nextHopProtocol }) => nextHopProtocol);
  const protocols = await until(async () => {
    const found = await page.evaluate(listed);
    return found.length > 0 && found;
  }, "the POST is listed as finished");
  assert.deepEqual([...new Set(protocols)], ["h2"]);

  await page.close();
  await until(async () => (await connectionCount(server.origin)) === 0, "the streams to end with their page");
}

test("a page comes back over TLS after its server was killed", async (t) => {
  const flags = await certificateFlags(t);
  const server = await startServer(t, { flags, config: 'retry = "50ms..200ms"' });
  const browser = await openBrowser(t, TRUSTING);
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${server.origin}/livez`);
  assert.equal(await page.evaluate(open, 3), 4);
  await server.stop();
  await startServer(t, { flags, port: server.port });
  await until(async () => (await page.evaluate(() => window.hellos)) === 6, "three more hellos");
  await until(async () => (await page.evaluate(publish, "again")) === 200, "a POST");
  await until(async () => (await page.evaluate(() => window.received)) === 3, "three messages");
});

/** Opens so many EventSources and a WebSocket in the page; gives how many said hello. */
function open(count) {
  Object.assign(window, { received: 0, hellos: 0, failures: 0, sources: [] });
  const opened = [];
  for (let n = 0; n < count; n += 1) {
    const source = new EventSource("/v1/sse?channel=news");
    window.sources.push(source);
    source.onmessage = () => { window.received += 1; };
    source.onerror = () => { window.failures += 1; };
    opened.push(new Promise((resolve) => {
      source.addEventListener("hello", () => { window.hellos += 1; resolve(); });
    }));
  }
  const socket = new WebSocket(`wss://${location.host}/v1/ws?channel=news`);
  window.socket = socket;
  opened.push(new Promise((resolve) => {
    socket.onmessage = ({ data }) => {
      const item = JSON.parse(data);
      if (item.hello) resolve();
      else window.received += 1;
    };
  }));
  return Promise.all(opened).then((all) => all.length);
}

/** Publishes from the page; gives the status. */
function publish(text) {
  const request = fetch("/v1/channels/news", { method: "POST", body: text });
  return request.then(({ status }) => status, () => 0);
}
