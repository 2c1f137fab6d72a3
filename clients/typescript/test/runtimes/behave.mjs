// Runs the behaviours of test/suite.mjs, by one transport, in whatever runtime this is started;
// prints those that fail, and how many passed. Started by runtimes.test.mjs.

import * as sdk from "../../dist/index.js";
import { behaviours } from "../suite.mjs";

const world = JSON.parse(process.argv[2]);
let passed = 0;
for (const [nth, [behaviour, run]] of Object.entries(behaviours).entries()) {
  const cut = (how = "") => fetch(`${world.pages}/cut?${how}`).then((response) => response.text());
  try {
    await run({ ...sdk, ...world, cut, unique: `${world.name}-${nth}` });
    passed += 1;
  } catch (error) {
    console.log(`${behaviour}: ${error?.stack ?? error}`);
  }
}
console.log(`${passed} of ${Object.keys(behaviours).length} passed`);
process.exit(passed === Object.keys(behaviours).length ? 0 : 1);
