// The behaviours of test/suite.mjs in Node, against the built server behind a proxy.

import { test } from "node:test";

import { startServer } from "../../../../tests/browser/programs.mjs";
import { behaviours } from "../suite.mjs";
import { startFaultProxy } from "../support/fault-proxy.mjs";
import { cutter } from "../support/cutter.mjs";
import { BellwireError, bellwire } from "../../dist/index.js";

const TRANSPORTS = { sse: ["sse"], ws: ["ws"], poll: ["poll"], auto: undefined };

for (const [name, transports] of Object.entries(TRANSPORTS)) {
  test(`by ${name}`, { concurrency: true }, async (t) => {
    const server = await startServer(t);
    const runs = Object.entries(behaviours).map(([behaviour, run], nth) =>
      t.test(behaviour, async (t) => {
        const proxy = await startFaultProxy(t, server.port);
        const { origin } = proxy;
        const unique = `${name}-${nth}`;
        const cut = cutter(proxy);
        await run({ bellwire, BellwireError, origin, direct: server.origin, transports, unique, cut });
      }),
    );
    await Promise.all(runs);
  });
}
