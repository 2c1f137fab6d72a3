// The parser against the project's vectors and against npm's eventsource-parser, with streams fed
// at once, byte by byte, and in random pieces.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { createParser as createTheirs } from "eventsource-parser";

import { createParser } from "../../dist/sse-parser.js";
import { seedOf, generator } from "../support/random.mjs";

const { vectors } = JSON.parse(
  readFileSync(new URL("../../../../spec/vectors/sse-parser.json", import.meta.url), "utf8"),
);

/** Streams compared with the other parser. */
const STREAMS = 5_000;

function parse(pieces) {
  const events = [];
  let retry = null;
  const feed = createParser({
    event: (event, data, id) => events.push({ event, data, id }),
    retry: (ms) => (retry = ms),
  });
  const decoder = new TextDecoder();
  for (const piece of pieces) feed(decoder.decode(piece, { stream: true }));
  return { events, retry };
}

const bytesOf = ({ input, input_base64 }) =>
  input === undefined ? Buffer.from(input_base64, "base64") : Buffer.from(input);
const singly = (bytes) => Array.from(bytes, (byte) => Buffer.from([byte]));

for (const vector of vectors) {
  test(vector.name, () => {
    for (const pieces of [[bytesOf(vector)], singly(bytesOf(vector))]) {
      const { events, retry } = parse(pieces);
      assert.deepEqual(events, vector.events);
      assert.equal(retry, vector.retry);
    }
  });
}

test("random streams mean what eventsource-parser reads in them", (t) => {
  const seed = seedOf(t);
  const random = generator(seed);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const words = ["data", "event", "id", "retry", ":", ": ", " ", "x", "é", "😀", "42", "\n", "\n", "\r\n", "\r", "\n\n", "\0", "\ufeff"];
  for (let n = 0; n < STREAMS; n += 1) {
    // The other one waits after a CR at the end for a LF that may follow.
    const text = `${Array.from({ length: random() * 30 }, () => pick(words)).join("")}\n`;
    const bytes = Buffer.from(text);
    const cuts = [];
    for (let at = 0; at < bytes.length; ) {
      const length = 1 + Math.floor(random() * 8);
      cuts.push(bytes.subarray(at, (at += length)));
    }
    const expected = theirs(text);
    for (const pieces of [[bytes], singly(bytes), cuts])
      assert.deepEqual(parse(pieces).events.map(({ event, data }) => [event, data]), expected, JSON.stringify(text));
  }
});

/** What the other parser reads, its events named as EventSource does. It strips no BOM itself. */
function theirs(text) {
  const events = [];
  const parser = createTheirs({ onEvent: ({ event, data }) => events.push([event || "message", data]) });
  parser.feed(text.replace(/^\ufeff/, ""));
  return events;
}

test("a line or an event without an end is refused before it fills memory", () => {
  const chunk = "x".repeat(1 << 22);
  const line = createParser({ event() {} });
  assert.throws(() => { for (;;) line(chunk); }, RangeError);
  const event = createParser({ event() {} });
  assert.throws(() => { for (;;) event(`data:${chunk}\n`); }, RangeError);
});
