// The README's page runs as it stands there, straight from the server.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { startServer, until } from "../../../../tests/browser/programs.mjs";
import { openBrowser } from "../support/browser.mjs";
import { openPage } from "../support/pages.mjs";
import { post } from "../support/values.mjs";

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
const pages = [...readme.matchAll(/^```html\n(.*?)^```$/gms)].map(([, code]) => code);

test("the README's pages show what is published", async (t) => {
  const server = await startServer(t);
  const browser = await openBrowser(t);
  assert.ok(pages.length > 0, "there are some");
  for (const html of pages) {
    const context = await browser.newContext();
    await context.route(`${server.origin}/page`, (route) =>
      route.fulfill({ contentType: "text/html", body: `<!doctype html><body>${html}` }));
    const page = await openPage({ newContext: () => context }, `${server.origin}/page`);
    await until(async () => {
      await post(server.origin, "news", "good news");
      return page.getByText("good news").first().isVisible();
    }, "the news are there");
    assert.deepEqual(page.complaints, []);
  }
});
