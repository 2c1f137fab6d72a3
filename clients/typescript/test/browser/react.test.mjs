// The hooks, under StrictMode in Chromium and rendered on a server.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { createElement } from "react";
import { renderToString } from "react-dom/server";

import { connectionCount, startServer } from "../../../../tests/browser/programs.mjs";
import { useChannel, useConnection } from "../../dist/react.js";
import { createDouble } from "../../dist/testing.js";
import { openBrowser } from "../support/browser.mjs";
import { startFaultProxy } from "../support/fault-proxy.mjs";
import { openPage, startPages } from "../support/pages.mjs";
import { post, until } from "../support/values.mjs";

test("components under StrictMode share one connection that follows what is mounted", async (t) => {
  const server = await startServer(t);
  const proxy = await startFaultProxy(t, server.port);
  const pages = await startPages(t);
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("../support/react-app.mjs", import.meta.url))],
    bundle: true,
    format: "iife",
    define: { "process.env.NODE_ENV": '"development"' },
    write: false,
  });
  const browser = await openBrowser(t);
  const page = await openPage(browser, `${pages}/`);
  await page.addScriptTag({ content: outputFiles[0].text });
  await page.evaluate((origin) => start(origin), proxy.origin);
  await page.getByText("connected").waitFor();
  for (const data of ["one", "two", "three", "four"]) await post(server.origin, "room", data);
  await page.getByText("four").waitFor();
  assert.deepEqual(await page.locator("li").allTextContents(), ["two", "three", "four"]);
  assert.equal(proxy.requests.filter((request) => request.includes("/v1/sse")).length, 1);
  await page.locator("#say").click();
  await page.getByText("from react").waitFor();

  await page.locator("#other").click();
  await until(async () => {
    await post(server.origin, "other", "elsewhere");
    return (await page.locator("li").allTextContents()).includes("elsewhere");
  }, "the other room is live");
  await until(async () => (await connectionCount(server.origin)) === 1, "the one that was replaced has ended");
  await page.locator("#none").click();
  await page.getByText("idle").waitFor();
  await until(async () => (await connectionCount(server.origin)) === 0, "no connection is left");
  assert.deepEqual(page.complaints, []);
});

test("on a server the hooks render the state and nothing live", () => {
  const live = createDouble();
  const View = () => {
    const { messages } = useChannel(live, "room");
    return createElement("p", null, `${useConnection(live).current} ${messages.length}`);
  };
  assert.equal(renderToString(createElement(View)), "<p>connected 0</p>");
});
