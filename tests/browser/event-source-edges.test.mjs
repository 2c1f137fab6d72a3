// What the standard says of EventSource where it is easily missed, with Chromium's own as the judge:
// which answers end it for good, redirects, reconnects, headers, preflights, and pages that leave.

import assert from "node:assert/strict";
import { test } from "node:test";

import { connectionCount, curl, openBrowser, startServer, until } from "./harness.mjs";
import { startFront } from "./recording-front.mjs";

/** `.example` hosts lead to this machine, so only the Origin tells a page apart. */
const RESOLVE = "--host-resolver-rules=MAP *.example 127.0.0.1";
const QUICK = 'retry = "50ms..100ms"\n';
const [OPEN, CLOSED] = [1, 2];

test("S1: a refusal ends an EventSource for good, and a full node does not", async (t) => {
  const config = `${QUICK}[limits]\nmax_connections = 3\n`;
  const server = await startServer(t, { config });
  const page = await openPage(t, `${server.origin}/livez`);
  const refused = ["/v1/sse", "/v1/sse?channel=no%20name", "/v1/sse?channel=a&named=2", "/v1/nothing", "/livez"];
  for (const path of refused) {
    assert.deepEqual(await outcome(page, path), { state: CLOSED, hello: false }, path);
  }
  // As many as there is room for stay open, and the next one waits for its turn.
  for (const name of ["first", "second", "third"]) {
    await page.evaluate(listen, [name, "/v1/sse?channel=a"]);
    await until(async () => (await hellos(page, name)) === 1, `room for the ${name}`);
  }
  await page.evaluate(listen, ["late", "/v1/sse?channel=a"]);
  await until(async () => (await page.evaluate(() => window.late.errors)) > 2, "several tries");
  assert.notEqual(await state(page, "late"), CLOSED);
  assert.equal(await hellos(page, "late"), 0);
  await page.evaluate(() => ["first", "second", "third"].forEach((name) => window[name].source.close()));
  await until(async () => (await hellos(page, "late")) === 1, "the turn of the one that waits");
});

test("S1: a node that leaves is come back to, not given up", async (t) => {
  const config = `${QUICK}drain.delay = "20s"\n[[namespace]]\nmatch = "a"\nanonymous = ["subscribe"]\n`;
  const server = await startServer(t, { dev: false, config });
  const page = await openPage(t, `${server.origin}/livez`);
  server.signal("SIGTERM");
  const leaves = async () => (await fetch(`${server.origin}/readyz`)).status === 503;
  await until(leaves, "the drain");
  await page.evaluate(listen, ["late", "/v1/sse?channel=a"]);
  await until(async () => (await page.evaluate(() => window.late.errors)) > 2, "several tries");
  assert.notEqual(await state(page, "late"), CLOSED);
  assert.equal(await hellos(page, "late"), 0);
});

test("S2: redirects of every kind lead to the stream", async (t) => {
  const server = await startServer(t);
  const front = await startFront(t, server.port);
  const page = await openPage(t, `${front.origin}/`);
  for (const status of [301, 302, 303, 307, 308]) {
    const path = `/redirect/${status}/v1/sse?channel=a`;
    assert.deepEqual(await outcome(page, path), { state: OPEN, hello: true }, `${status}`);
  }
});

test("S3 and S5: a stream that ends is resumed after its retry, with the headers of the standard", async (t) => {
  const server = await startServer(t, { config: QUICK });
  const front = await startFront(t, server.port);
  const page = await openPage(t, `${front.origin}/`);
  await page.evaluate(listen, ["one", "/v1/sse?channel=a"]);
  for (const round of [1, 2, 3]) {
    await publish(server, "a", `"before ${round}"`);
    await until(async () => (await seen(page, "one")).includes(`before ${round}`), "a message");
    await closeAll(server);
    await publish(server, "a", `"meanwhile ${round}"`);
    await until(async () => (await seen(page, "one")).includes(`meanwhile ${round}`), "what was missed");
  }
  assert.deepEqual(
    await seen(page, "one"),
    [1, 2, 3].flatMap((round) => [`before ${round}`, `meanwhile ${round}`]),
  );
  assert.equal(await page.evaluate(() => window.one.errors), 3);
  const streams = front.asked.map(({ headers }) => headers);
  assert.equal(streams.length, 4);
  for (const [nth, headers] of streams.entries()) {
    assert.equal(headers.accept, "text/event-stream");
    assert.match(headers["cache-control"], /no-(cache|store)/);
    assert.equal("last-event-id" in headers, nth > 0, `request ${nth}`);
  }
});

test("S3: a stream that ended with its token is not resumed with it", async (t) => {
  const server = await startServer(t, {
    dev: false,
    config: `${QUICK}jwt_leeway = "0s"\n`,
    flags: ["--jwt-key", `HS256:${"k".repeat(32)}`],
  });
  const front = await startFront(t, server.port);
  const page = await openPage(t, `${front.origin}/`);
  // Long enough for a slow machine to show it while it is good.
  const token = await shortLived("k".repeat(32), 6);
  await page.evaluate(listen, ["one", `/v1/sse?channel=a&token=${token}`]);
  await until(async () => (await page.evaluate(() => window.one.byes)).length === 1, "the end of the token");
  assert.deepEqual(await page.evaluate(() => window.one.byes), ["token_expired"]);
  await until(async () => (await state(page, "one")) === CLOSED, "the refusal of the same token");
});

test("S4: text of every script arrives as UTF-8, whatever looks like an end of line", async (t) => {
  const server = await startServer(t);
  const page = await openPage(t, `${server.origin}/livez`);
  await page.evaluate(listen, ["one", "/v1/sse?channel=a"]);
  const text = "grüße 漢字 🎉 \u2028 \u2029 \u0085 \u00a0 \ufeff \u202e | \r\n\n\r: data: x";
  await publish(server, "a", JSON.stringify(text));
  await publish(server, "a", JSON.stringify("after"));
  await until(async () => (await seen(page, "one")).includes("after"), "both");
  assert.deepEqual(await seen(page, "one"), [text, "after"]);
});

test("S6: across origins an EventSource resumes with its cookies, and a preflight allows its header", async (t) => {
  const pages = await startFront(t, 0);
  const friend = `http://friend.example:${pages.port}`;
  const server = await startServer(t, { config: QUICK, flags: ["--allow-origin", friend] });
  const front = await startFront(t, server.port);
  const page = await openPage(t, `${friend}/`, [RESOLVE]);
  const many = [..."abcdefgh"].map((name) => `channel=${name}`).join("&");
  const url = `${front.origin}/v1/sse?${many}`;
  await page.evaluate(listen, ["one", url, { withCredentials: true }]);
  await closeAll(server);
  await publish(server, "a", '"missed"');
  await until(async () => (await seen(page, "one")).includes("missed"), "what was missed");
  const asked = (method) => front.asked.filter((request) => request.method === method);
  const id = asked("GET").at(-1).headers["last-event-id"];
  assert.ok(id.length > 128, id);
  assert.equal(asked("GET").at(-1).headers.origin, friend);

  // Chromium spares an EventSource the preflight that the standard asks for with such an id; of
  // fetch it asks one, as other browsers do of both.
  front.asked.length = 0;
  const status = await page.evaluate(fetchWith, [url, id]);
  assert.equal(status, 200);
  assert.deepEqual(asked("OPTIONS").map(({ headers }) => headers["access-control-request-headers"]), ["last-event-id"]);

  const elsewhere = await openPage(t, `http://foreign.example:${pages.port}/`, [RESOLVE]);
  assert.deepEqual(await outcome(elsewhere, url), { state: CLOSED, hello: false });
  assert.equal(await elsewhere.evaluate(fetchWith, [url, id]), "blocked");
});

test("S7: a stream that the page closes is freed at once", async (t) => {
  // By its end: no heartbeat could show that it is gone.
  const server = await startServer(t, { config: 'heartbeat = "1h"\n' });
  const page = await openPage(t, `${server.origin}/livez`);
  await page.evaluate(listen, ["one", "/v1/sse?channel=a"]);
  assert.equal(await connectionCount(server.origin), 1);
  await page.evaluate(() => window.one.source.close());
  await until(async () => (await connectionCount(server.origin)) === 0, "the end of its connection");
});

test("S8: a page that one comes back to receives again, over one connection", async (t) => {
  const server = await startServer(t, { config: QUICK });
  const front = await startFront(t, server.port);
  const page = await openPage(t, `${front.origin}/first`);
  await page.addInitScript(`(${listen})(["one", "/v1/sse?channel=a"])`);
  await page.reload();
  await until(async () => (await connectionCount(server.origin)) === 1, "the stream");
  for (const round of [1, 2, 3]) {
    await page.goto(`${server.origin}/livez`);
    // One that is taken out of the browser's memory loads nothing.
    await page.goBack({ waitUntil: "commit" });
    await until(() => page.evaluate(greeted), "the stream to be greeted again");
    await until(async () => (await connectionCount(server.origin)) === 1, "one connection");
    await publish(server, "a", `"round ${round}"`);
    await until(async () => (await seen(page, "one")).includes(`round ${round}`), "a message");
  }
});

async function openPage(t, url, flags = []) {
  const browser = await openBrowser(t, flags);
  const page = await (await browser.newContext()).newPage();
  await page.goto(url);
  return page;
}

/** Runs in the page: an EventSource under a name, with what it brought; resolves at hello or an error. */
function listen([name, url, init]) {
  const source = new EventSource(url, init);
  const log = (window[name] = { source, seen: [], byes: [], hellos: 0, errors: 0 });
  source.onmessage = ({ data }) => log.seen.push(JSON.parse(data).data);
  source.addEventListener("bye", ({ data }) => log.byes.push(JSON.parse(data).code));
  return new Promise((resolve) => {
    source.addEventListener("hello", () => {
      log.hellos += 1;
      resolve(true);
    });
    source.addEventListener("error", () => {
      log.errors += 1;
      resolve(false);
    });
  });
}

/** Runs in the page: whether the EventSource "one" is open and was greeted since. */
function greeted() {
  const { source, hellos, errors } = window.one ?? {};
  return source?.readyState === EventSource.OPEN && hellos > errors;
}

/** Runs in the page: the status of a stream that is asked for with this id. */
function fetchWith([url, id]) {
  const end = new AbortController();
  const init = { headers: { "last-event-id": id }, credentials: "include", signal: end.signal };
  const status = fetch(url, init).then((answer) => answer.status, () => "blocked");
  return status.finally(() => end.abort());
}

/** What becomes of an EventSource: whether it was greeted, and its state after that. */
async function outcome(page, url) {
  const hello = await page.evaluate(listen, ["tried", url]);
  const found = await state(page, "tried");
  await page.evaluate(() => window.tried.source.close());
  return { state: found, hello };
}

const state = (page, name) => page.evaluate((which) => window[which].source.readyState, name);
const hellos = (page, name) => page.evaluate((which) => window[which].hellos, name);
const seen = (page, name) => page.evaluate((which) => window[which].seen, name);
const publish = (server, channel, data) => curl("-d", data, `${server.origin}/v1/channels/${channel}`);

/** Ends all sessions from the server's side. */
async function closeAll(server) {
  const { connections } = JSON.parse(await curl(`${server.origin}/v1/connections`));
  for (const { id } of connections) await curl("-X", "DELETE", `${server.origin}/v1/connections/${id}`);
}

/** A token for channel `a` that ends in so many seconds. */
async function shortLived(secret, seconds) {
  const { createHmac } = await import("node:crypto");
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1_000) + seconds;
  const text = `${encode({ alg: "HS256" })}.${encode({ sub: "ann", exp, bellwire: { subscribe: ["a"] } })}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}
