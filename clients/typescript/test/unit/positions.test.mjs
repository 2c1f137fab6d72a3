// What is resumed from, and what counts as news.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createPositions } from "../../dist/positions.js";
import { idOf } from "../support/ids.mjs";

const segments = (cursor) => cursor.split(".").sort();

test("a message is news once and only forwards", () => {
  const positions = createPositions();
  assert.equal(positions.pass(idOf("a", 1, 5), "a"), true);
  assert.equal(positions.pass(idOf("a", 1, 5), "a"), false);
  assert.equal(positions.pass(idOf("a", 1, 4), "a"), false);
  assert.equal(positions.pass(idOf("a", 1, 300), "a"), true);
  assert.equal(positions.pass(idOf("b", 1, 1), "b"), true, "channels count apart");
  assert.equal(positions.pass(idOf("a", 2, 1), "a"), true, "another epoch is another log");
});

test("a cursor needs one word for all that are new, and words fill in for what has no position", () => {
  const positions = createPositions();
  positions.want("a", "latest");
  positions.want("b", "latest");
  assert.equal(positions.cursor(["a", "b"]), "latest");
  positions.pass(idOf("a", 1, 5), "a");
  assert.equal(positions.cursor(["a", "b"]), `latest.${idOf("a", 1, 5)}`);
  positions.want("c", "earliest");
  assert.equal(positions.cursor(["c"]), "earliest");
  assert.equal(positions.cursor(["a"]), idOf("a", 1, 5));
});

test("channels from the earliest wait until those from the latest have a position", () => {
  const positions = createPositions();
  positions.want("old", "earliest");
  positions.want("new", "latest");
  assert.deepEqual(positions.together(["old", "new"]), ["new"]);
  positions.begin(["new"], idOf("new", 1, 3), true);
  assert.deepEqual(positions.together(["old", "new"]), ["old", "new"]);
  assert.deepEqual(segments(positions.cursor(["old", "new"])), segments(`earliest.${idOf("new", 1, 3)}`));
});

test("a greeting fills in, never moves a mark, and drops what no longer counts", () => {
  const positions = createPositions();
  positions.pass(idOf("a", 1, 5), "a");
  positions.begin(["a", "b", "c"], [idOf("a", 1, 2), idOf("b", 1, 7), idOf("c", 1, 1)].join("."), true);
  assert.deepEqual(segments(positions.cursor(["a", "b", "c"])), [idOf("a", 1, 5), idOf("b", 1, 7), idOf("c", 1, 1)].sort());
  positions.unwant("c");
  positions.begin(["a", "b"], [idOf("a", 1, 5), idOf("b", 1, 7)].join("."), true);
  assert.deepEqual(segments(positions.cursor(["a", "b"])), [idOf("a", 1, 5), idOf("b", 1, 7)].sort());
});

test("a gap moves on, also back where the position is unknown, and not where the reader has been", () => {
  const positions = createPositions();
  positions.pass(idOf("a", 1, 50), "a");
  assert.equal(positions.pass(idOf("a", 1, 30), "a"), false, "the reader is past it");
  assert.equal(positions.pass(idOf("a", 1, 70), "a"), true);
  assert.equal(positions.pass(idOf("a", 1, 3), "a", true), true);
  assert.equal(positions.pass(idOf("a", 1, 4), "a"), true);
  assert.equal(positions.pass(idOf("a", 0, 0), "a", true), true);
  assert.equal(positions.pass(idOf("a", 1, 1), "a"), true, "anything is news after a null id");
});

test("a link's cursor sets marks that are missing and never takes others back", () => {
  const positions = createPositions();
  positions.pass(idOf("a", 1, 5), "a");
  positions.begin(["a", "b"], `${idOf("a", 1, 4)}.${idOf("b", 1, 2)}`, true);
  assert.deepEqual(segments(positions.cursor(["a", "b"])), [idOf("a", 1, 5), idOf("b", 1, 2)].sort());
});

test("ids of an unknown version are told apart by their text", () => {
  const positions = createPositions();
  assert.equal(positions.pass("2future-version-of-an-id", "a"), true);
  assert.equal(positions.pass("2future-version-of-an-id", "a"), false);
  assert.equal(positions.pass("2future-version-of-a-later", "a"), true);
});
