// Long-polling, with a server that answers what a test says.

import assert from "node:assert/strict";
import { test } from "node:test";

import { openPoll } from "../../dist/transports/poll.js";

test("an answer that holds nothing is a sign of life, too", async () => {
  let lives = 0;
  let answered = 0;
  const sink = { life: () => (lives += 1), say() {}, lost() {} };
  const fetch = async () => {
    if (++answered > 3) return new Promise(() => {});
    return new Response(JSON.stringify({ cursor: "", messages: [], gaps: [] }));
  };
  const attempt = { channels: ["a"], cursor: () => "", fallback: [] };
  const link = openPoll({ base: new URL("http://server/"), fetch }, attempt, sink);
  while (answered < 4) await new Promise((next) => setTimeout(next));
  link.close();
  assert.equal(lives, 3);
});
