// The behaviours of test/suite.mjs in Deno and in Bun, which npm brings: `npm run test:runtimes`.

import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { startServer } from "../../../../tests/browser/programs.mjs";
import { cutter } from "../support/cutter.mjs";
import { startFaultProxy } from "../support/fault-proxy.mjs";
import { startPages } from "../support/pages.mjs";

const RUNTIMES = {
  deno: [process.env.DENO_BIN ?? "deno", "run", "--allow-all", "--no-config"],
  bun: [process.env.BUN_BIN ?? "bun", "run"],
};
const TRANSPORTS = { sse: ["sse"], ws: ["ws"], poll: ["poll"], auto: undefined };
const SCRIPT = fileURLToPath(new URL("behave.mjs", import.meta.url));

for (const [runtime, [program, ...args]] of Object.entries(RUNTIMES)) {
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    test(`in ${runtime} by ${name}`, async (t) => {
      const server = await startServer(t);
      const proxy = await startFaultProxy(t, server.port);
      const pages = await startPages(t, cutter(proxy));
      const world = JSON.stringify({ name, transports, origin: proxy.origin, direct: server.origin, pages });
      const run = promisify(execFile)(program, [...args, SCRIPT, world], { timeout: 120_000 });
      const { stdout } = await run.catch(({ stdout, message }) => {
        throw new Error(`${message}\n${stdout}`);
      });
      t.diagnostic(stdout.trim());
    });
  }
}
