// Half a minute of faults, other ones each time; BELLWIRE_SEED repeats a run, and
// BELLWIRE_CHAOS_S=600 makes it ten minutes.

import assert from "node:assert/strict";
import { test } from "node:test";

import { seedOf } from "../support/random.mjs";
import { percentile, storm } from "./storm.mjs";

const SECONDS = Number(process.env.BELLWIRE_CHAOS_S ?? 30);

test("through faults of all kinds nothing is repeated, out of order, or lost unsaid", async (t) => {
  const seed = seedOf(t);
  const log = process.env.BELLWIRE_CHAOS_LOG ? console.log : undefined;
  const { wrong, returns, fallbacks, messages, gaps } = await storm(t, { seconds: SECONDS, seed, log });
  assert.deepEqual(wrong, []);
  assert.ok(fallbacks.counted >= fallbacks.happened, JSON.stringify(fallbacks));
  const times = returns.map(({ ms }) => ms);
  const [half, most, all] = [0.5, 0.99, 1].map((share) => Math.round(percentile(times, share)));
  t.diagnostic(`${messages} deliveries, ${gaps} gaps, fallbacks ${JSON.stringify(fallbacks)}`);
  t.diagnostic(`${times.length} returns after outages up to 1 s: p50 ${half} ms, p99 ${most} ms, longest ${all} ms`);
  const worst = [...returns].sort((a, b) => b.ms - a.ms).slice(0, 5);
  t.diagnostic(worst.map(({ name, client, ms }) => `${client} after ${name}: ${ms} ms`).join(", "));
});
