// A thousand clients that lost their server together, with the waits that they draw: how many
// attempts there are in each second, and how soon a server that is back has them all.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { backoff } from "../../dist/backoff.js";
import { generator } from "../support/random.mjs";

const CLIENTS = 10_000;

beforeEach(() => {
  mock.restoreAll();
  mock.method(Math, "random", generator(7));
});

/** Attempts and returns per second, and how long each client took, where the server is away for so many ms. */
function crowd(away) {
  const [attempts, returns, took] = [[], [], []];
  const count = (list, ms) => (list[Math.floor(ms / 1_000)] = (list[Math.floor(ms / 1_000)] ?? 0) + 1);
  for (let n = 0; n < CLIENTS; n += 1) {
    let now = 0;
    for (let failures = 0; failures === 0 || now < away; failures += 1) count(attempts, (now += backoff(failures, now)));
    count(returns, now - away);
    took.push(now - away);
  }
  return { attempts, returns, took: took.sort((a, b) => a - b) };
}

test("a crowd comes back flat within a factor of three, until nearly all are there", () => {
  for (const away of [2_000, 3_000, 4_000, 6_000]) {
    const { returns, took } = crowd(away);
    const whole = returns.slice(0, Math.floor(took[CLIENTS * 0.9] / 1_000));
    assert.ok(Math.max(...whole) <= 3 * Math.min(...whole), `away for ${away} ms: returns ${returns}`);
  }
});

test("a crowd that is away never tries in waves: there is no second with more attempts than the first", () => {
  const { attempts } = crowd(60_000);
  assert.ok(attempts[0] <= 1.3 * CLIENTS, `${attempts[0]} in the first second`);
  assert.ok(Math.max(...attempts) === attempts[0], `attempts ${attempts}`);
});

test("after an outage of up to a second all are back within another one", () => {
  for (const away of [100, 300, 700, 1_000]) assert.ok(crowd(away).took.at(-1) <= 1_000, `away for ${away} ms`);
});
