// Half a minute of faults in Node and in Chromium, other ones each time; BELLWIRE_SEED repeats a run,
// and BELLWIRE_CHAOS_S=600 makes it ten minutes.

import assert from "node:assert/strict";
import { test } from "node:test";

import { openBrowser } from "../support/browser.mjs";
import { startPages } from "../support/pages.mjs";
import { seedOf } from "../support/random.mjs";
import { openHere, openInPages } from "./clients.mjs";
import { percentile, storm } from "./storm.mjs";

const SECONDS = Number(process.env.BELLWIRE_CHAOS_S ?? 30);
const PLACES = {
  Node: async () => ({ open: openHere }),
  async Chromium(t) {
    const pages = await startPages(t);
    return { open: openInPages(await openBrowser(t), pages), origins: [pages] };
  },
};

for (const [name, clients] of Object.entries(PLACES)) {
  test(`in ${name}, through faults of all kinds nothing is repeated, out of order, or lost unsaid`, async (t) => {
    const place = await clients(t);
    const seed = seedOf(t);
    const log = process.env.BELLWIRE_CHAOS_LOG ? console.log : undefined;
    const { wrong, returns, fallbacks, messages, gaps } = await storm(t, { ...place, seconds: SECONDS, seed, log });
    assert.deepEqual(wrong, []);
    assert.ok(fallbacks.counted >= fallbacks.happened, JSON.stringify(fallbacks));
    const times = returns.map(({ ms }) => ms);
    const [half, most, all] = [0.5, 0.99, 1].map((share) => Math.round(percentile(times, share)));
    t.diagnostic(`${messages} deliveries, ${gaps} gaps, fallbacks ${JSON.stringify(fallbacks)}`);
    t.diagnostic(`${times.length} returns after outages up to 1 s: p50 ${half} ms, p99 ${most} ms, longest ${all} ms`);
    const worst = [...returns].sort((a, b) => b.ms - a.ms).slice(0, 5);
    t.diagnostic(worst.map(({ name, client, ms }) => `${client} after ${name}: ${ms} ms`).join(", "));
  });
}
