// The behaviours of test/suite.mjs in Firefox, with the bundle that the server serves.

import { test } from "node:test";

import { startServer } from "../../../../tests/browser/programs.mjs";
import { behaviours } from "../suite.mjs";
import { cutter } from "../support/cutter.mjs";
import { startFaultProxy } from "../support/fault-proxy.mjs";
import { startFirefox } from "../support/firefox.mjs";
import { startPages } from "../support/pages.mjs";

const TRANSPORTS = { sse: ["sse"], ws: ["ws"], poll: ["poll"], auto: undefined, "event-source": ["sse"] };

test("in Firefox", async (t) => {
  const server = await startServer(t);
  const firefox = await startFirefox(t);
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    for (const [nth, behaviour] of Object.keys(behaviours).entries()) {
      await t.test(`by ${name}: ${behaviour}`, async (t) => {
        const proxy = await startFaultProxy(t, server.port);
        const pages = await startPages(t, cutter(proxy));
        const page = await firefox.open(`${pages}/`);
        const world = { origin: proxy.origin, direct: server.origin, transports, unique: `${name}-${nth}` };
        await page.run(
          async (behaviour, world, name) => {
            const sdk = await import("/bellwire.js");
            const { behaviours } = await import("/test/suite.mjs");
            const { openEventSource } = await import("/dist/transports/event-source.js");
            const via = name === "event-source" && { sse: openEventSource };
            const cut = (how = "") => fetch(`/cut?${how}`);
            await behaviours[behaviour]({ ...sdk, ...world, via, cut });
          },
          behaviour, world, name,
        );
        await page.close();
      });
    }
  }
});
