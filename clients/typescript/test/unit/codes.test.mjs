// The client knows what each error code of the protocol asks for: spec/codes.toml.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { fateOf } from "../../dist/transports/request.js";

const codes = readFileSync(new URL("../../../../spec/codes.toml", import.meta.url), "utf8");
const errors = [...codes.matchAll(/^\[\[error\]\]\ncode = "(\w+)"\nstatus = \d+\nretry = "(\w+)"$/gm)];
const FATES = { no: "stop", yes: "busy", new_token: "token" };

test("every error code of the protocol has the fate that it asks for", () => {
  assert.ok(errors.length > 20, "they were found");
  for (const [, code, retry] of errors) {
    // The client presents no grants.
    const expected = code.startsWith("grant") ? "stop" : FATES[retry];
    assert.equal(fateOf(code), expected, code);
  }
});
