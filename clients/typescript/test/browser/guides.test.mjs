// The guides' code runs as it stands there: docs/guides.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { BINARY, startServer, until } from "../../../../tests/browser/programs.mjs";
import { openBrowser } from "../support/browser.mjs";
import { startFaultProxy } from "../support/fault-proxy.mjs";
import { openPage, startPages } from "../support/pages.mjs";
import { post } from "../support/values.mjs";

/** The blocks of one language of a guide. */
function blocks(guide, language) {
  const text = readFileSync(new URL(`../../../../docs/guides/${guide}.md`, import.meta.url), "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))].map(([, code]) => code);
}

test("the plain WebSocket comes back without a loss, and says what was lost", async (t) => {
  const server = await startServer(t);
  const proxy = await startFaultProxy(t, server.port);
  const pages = await startPages(t);
  const browser = await openBrowser(t);
  const page = await openPage(browser, `${pages}/`);
  const [code] = blocks("plain-websocket", "js");
  assert.ok(code.trim().split("\n").length <= 30, "it is short");
  await page.addScriptTag({ content: code });
  await page.evaluate((url) => {
    globalThis.seen = [];
    follow(url, "news", ({ data }) => seen.push(data), ({ reason }) => seen.push(reason));
  }, proxy.origin.replace("http", "ws"));
  await until(async () => {
    await post(server.origin, "news", "begin");
    return page.evaluate(() => seen.length > 0);
  }, "it is live");
  for (let n = 0; n < 60; n += 1) {
    await post(server.origin, "news", n);
    if (n % 20 === 10) proxy.cut();
  }
  await page.waitForFunction(() => seen.at(-1) === 59);
  const numbers = await page.evaluate(() => seen.filter((item) => item !== "begin"));
  assert.deepEqual(numbers, [...Array(60).keys()]);
  proxy.refuse = true;
  proxy.cut();
  for (let n = 60; n < 180; n += 1) await post(server.origin, "news", n);
  proxy.refuse = false;
  await page.waitForFunction(() => seen.at(-1) === 179);
  const rest = await page.evaluate(() => seen.slice(seen.indexOf(59) + 1));
  assert.deepEqual(rest, ["retention", ...Array.from({ length: 100 }, (_, n) => 80 + n)]);
});

const SECRET = "a secret of thirty-two bytes or so";

/** A server with an API key of this scope, and a settings file. */
async function startProduction(t, { scope, config = "" }) {
  const said = execFileSync(BINARY, ["token", "key", "--scope", scope], { encoding: "utf8" });
  const flags = ["--jwt-key", `HS256:${SECRET}`, "--api-key", /^--api-key (\S.*)$/m.exec(said)[1]];
  const server = await startServer(t, { dev: false, flags, config });
  return { server, apiKey: /^bw_\S+$/m.exec(said)[0] };
}

/** The code of a guide's backend, as a module. */
const backendOf = (guide) => import(`data:text/javascript,${encodeURIComponent(blocks(guide, "js")[0])}`);

/**
 * An application: a page for whoever is named in its query, answers of its own by path, and
 * Bellwire behind the same origin. Returns its origin.
 */
async function startApplication(t, { server, html, answers }) {
  const app = createServer((asked, answer) => {
    const user = new URL(asked.headers.referer ?? "http://app/").search.slice(1);
    const own = answers[asked.url];
    if (own) return answer.end(own(user));
    if (asked.url.startsWith("/?")) return answer.setHeader("content-type", "text/html").end(html);
    const { url: path, method, headers } = asked;
    const up = request({ port: server.port, path, method, headers }, (response) => {
      answer.writeHead(response.statusCode, response.headers);
      response.pipe(answer);
    });
    answer.on("close", () => up.destroy());
    up.on("error", () => answer.destroy());
    asked.pipe(up);
  }).listen(0, "127.0.0.1");
  t.after(() => app.close());
  t.after(() => app.closeAllConnections());
  await once(app, "listening");
  return `http://127.0.0.1:${app.address().port}`;
}

test("notifications: the backend's code reaches the user's page, and no other", async (t) => {
  const { server, apiKey } = await startProduction(t, { scope: "publish:@*" });
  const { mintToken, notify } = await backendOf("notifications");
  const [html] = blocks("notifications", "html");
  const answers = { "/push-token": (user) => mintToken(user, SECRET) };
  const origin = await startApplication(t, { server, html, answers });

  await notify(server.origin, apiKey, "ann", { id: "n1", text: "while you were away" });
  const browser = await openBrowser(t);
  const [ann, bob] = [await openPage(browser, `${origin}/?ann`), await openPage(browser, `${origin}/?bob`)];
  await ann.getByText("while you were away").waitFor();
  await notify(server.origin, apiKey, "ann", { id: "n2", text: "your order has left" });
  // Again, as after a timeout: the key makes it one notification.
  await notify(server.origin, apiKey, "ann", { id: "n2", text: "your order has left" });
  await notify(server.origin, apiKey, "bob", { id: "n3", text: "for bob" });
  await ann.getByText("your order has left").waitFor();
  await bob.getByText("for bob").waitFor();
  assert.deepEqual(await ann.locator("li").allTextContents(), ["while you were away", "your order has left"]);
  assert.deepEqual(await bob.locator("li").allTextContents(), ["for bob"]);
  for (const page of [ann, bob]) assert.deepEqual(page.complaints, []);
});

test("progress: who was there and who comes late see the whole job", async (t) => {
  const [config] = blocks("progress", "toml");
  const { server, apiKey } = await startProduction(t, { scope: "publish:job:*", config });
  const { mintGrant, report } = await backendOf("progress");
  const [html] = blocks("progress", "html");
  const answers = { "/jobs/7/grant": () => mintGrant("7", SECRET) };
  const origin = await startApplication(t, { server, html, answers });
  const browser = await openBrowser(t);
  const early = await openPage(browser, `${origin}/?7`);
  const arrived = (page, text) => page.waitForFunction((text) => document.getElementById("text").textContent === text, text);
  let late;
  async function* pieces() {
    for (let n = 0; n < 150; n += 1) yield `${n} `;
    late = await openPage(browser, `${origin}/?7`);
    yield "end";
  }
  await report(server.origin, apiKey, "7", pieces());
  const whole = `${[...Array(150).keys()].join(" ")} end`;
  for (const page of [early, late]) {
    await arrived(page, whole);
    await page.getByText("done").waitFor();
    assert.deepEqual(page.complaints, []);
  }
});

test("chat: two users write to each other, as themselves", async (t) => {
  const [config] = blocks("chat", "toml");
  const { server } = await startProduction(t, { scope: "manage", config });
  const { mintToken } = await backendOf("chat");
  const [html] = blocks("chat", "html");
  const answers = { "/chat-token": (user) => mintToken(user, ["lobby"], SECRET) };
  const origin = await startApplication(t, { server, html, answers });
  const browser = await openBrowser(t);
  const [ann, bob] = [await openPage(browser, `${origin}/?ann`), await openPage(browser, `${origin}/?bob`)];
  await until(async () => {
    await ann.getByLabel("Message").fill(`hello ${Math.random()}`);
    return bob.getByText("ann is typing").isVisible();
  }, "bob sees that ann types");
  for (const [page, text] of [[ann, "hello bob"], [bob, "hello ann"]]) {
    await page.getByLabel("Message").fill(text);
    await page.getByRole("button", { name: "Send" }).click();
    for (const reader of [ann, bob]) await reader.getByText(text).waitFor();
  }
  for (const page of [ann, bob]) {
    assert.deepEqual(await page.locator("li").allTextContents(), ["ann: hello bob", "bob: hello ann"]);
    assert.deepEqual(page.complaints, []);
  }
});

test("a fragment that was published as text is HTML in the page", async (t) => {
  const server = await startServer(t);
  const html = blocks("html-fragments", "html").at(-1);
  const origin = await startApplication(t, { server, html, answers: {} });
  const browser = await openBrowser(t);
  const page = await openPage(browser, `${origin}/?`);
  const [command] = blocks("html-fragments", "sh");
  const publish = () => execFileSync("sh", ["-c", command.replace("http://127.0.0.1:2355", server.origin)], { stdio: "pipe" });
  await until(() => publish() && page.locator("#score b").isVisible(), "the fragment is in the page");
  assert.equal(await page.locator("#score b").first().textContent(), "3 : 1");
});
