// Prints what each entry costs a page, minified and gzipped, and fails above the promised sizes.

import { gzipSync } from "node:zlib";

import { bundle } from "./bundle.mjs";

const CORE_LIMIT = 7_000;
const WHOLE_LIMIT = 12_000;
const ENTRIES = ["index.js", "transports/event-source.js"];

let whole = 0;
for (const entry of ENTRIES) {
  const bytes = await bundle(entry);
  const size = gzipSync(bytes, { level: 9 }).length;
  whole += size;
  console.log(`${entry.padEnd(26)} ${String(bytes.length).padStart(6)} B minified, ${size} B gzipped`);
  if (entry === "index.js" && size > CORE_LIMIT) {
    console.error(`the core is over ${CORE_LIMIT} B`);
    process.exitCode = 1;
  }
}
console.log(`everything                 ${whole} B gzipped`);
if (whole > WHOLE_LIMIT) {
  console.error(`the package is over ${WHOLE_LIMIT} B`);
  process.exitCode = 1;
}
