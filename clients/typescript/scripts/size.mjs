// Prints what each entry costs a page, minified and gzipped, and fails above the limits.

import { gzipSync } from "node:zlib";

import { bundle } from "./bundle.mjs";

/** In bytes, gzipped: all three transports, and every entry together. */
const CORE_LIMIT = 6_000;
const WHOLE_LIMIT = 12_000;
const CORE = "index.js";
const OTHERS = ["shared.js", "react.js", "testing.js", "transports/event-source.js"];

const sizeOf = async (...entries) => gzipSync(await bundle(...entries), { level: 9 }).length;
const core = await sizeOf(CORE);
const whole = await sizeOf(CORE, ...OTHERS);
const say = (name, size, note = "") => console.log(`${name.padEnd(28)} ${String(size).padStart(6)} B ${note}`);

say("core, three transports", core, `of ${CORE_LIMIT}`);
for (const entry of OTHERS) say(`  + ${entry}`, (await sizeOf(CORE, entry)) - core);
say("everything", whole, `of ${WHOLE_LIMIT}`);
if (core > CORE_LIMIT || whole > WHOLE_LIMIT) {
  console.error("that is over the limit");
  process.exitCode = 1;
}
