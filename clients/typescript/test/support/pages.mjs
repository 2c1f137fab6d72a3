// Pages for the browser tests: an origin of its own that serves the client's bundle, the tests'
// modules and an empty page.

import { readFile } from "node:fs/promises";
import { once } from "node:events";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const BUNDLE = fileURLToPath(new URL("../../../../crates/bellwire-server/pages/bellwire.js", import.meta.url));

/** Starts the server; returns its origin. A page that fetches `/cut?how` calls `cut(how)`. */
export async function startPages(t, cut) {
  const server = createServer(async (request, response) => {
    const { pathname, search } = new URL(request.url, "http://pages");
    if (pathname === "/cut") return response.end(void (await cut(search.slice(1) || undefined)));
    const file = pathname === "/bellwire.js" ? BUNDLE : ROOT + pathname.slice(1);
    const script = /^\/(bellwire\.js|(test|dist)\/[\w/.-]+\.m?js)$/.test(pathname);
    try {
      const body = script ? await readFile(file) : "<!doctype html><title>Test</title>";
      response.setHeader("content-type", script ? "text/javascript" : "text/html");
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  }).listen(0, "127.0.0.1");
  t.after(() => server.close());
  t.after(() => server.closeAllConnections());
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

/** Opens an empty page that can import, with its errors kept in `complaints`. */
export async function openPage(browser, url) {
  const page = await (await browser.newContext()).newPage();
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(error.message));
  await page.goto(url);
  return page;
}
