// The README's examples run as they are, against the built server.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { startServer } from "../../../../tests/browser/programs.mjs";
import * as sdk from "../../dist/index.js";
import * as eventSource from "../../dist/transports/event-source.js";
import * as testing from "../../dist/testing.js";
import { keepPosting, until } from "../support/values.mjs";

const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
const blocks = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);

test("the README's examples run one after the other", async (t) => {
  const server = await startServer(t);
  const said = [];
  const console = { log: (...words) => said.push(words.join(" ")) };
  const here = (url, options) => {
    const live = sdk.bellwire(server.origin, options);
    t.after(live.close);
    return live;
  };
  const code = blocks
    .join("\n")
    .replace(/^import .* from "bellwire.*";$/gm, "")
    // A reader has the loop's messages from elsewhere.
    .replace(/^for await/m, "beginPublishing();\nfor await");
  const AsyncFunction = (async () => {}).constructor;
  let stop = () => {};
  const begin = () => {
    stop = keepPosting(server.origin, "news", 50, () => "tick");
  };
  const names = {
    bellwire: here,
    // Node has no Web Locks, so there it is a client like any other.
    shared: here,
    openEventSource: eventSource.openEventSource,
    createDouble: testing.createDouble,
    fetch: async () => new Response(""),
    beginPublishing: begin,
    console,
  };
  const run = new AsyncFunction(...Object.keys(names), code);
  await run(...Object.values(names)).finally(() => stop());
  await until(() => said.includes("tick"), "the loop heard of a message");
  assert.ok(said.some((line) => /^1\S+ false$/.test(line)), said.join("\n"));
  assert.ok(said.includes("ann hello"), "the double was used");
});
