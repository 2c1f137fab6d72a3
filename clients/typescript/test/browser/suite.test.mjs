// The behaviours of test/suite.mjs in Chromium, with the bundle that the server serves.

import { test } from "node:test";

import { startServer } from "../../../../tests/browser/programs.mjs";
import { behaviours } from "../suite.mjs";
import { openBrowser } from "../support/browser.mjs";
import { cutter } from "../support/cutter.mjs";
import { startFaultProxy } from "../support/fault-proxy.mjs";
import { openPage, startPages } from "../support/pages.mjs";

const TRANSPORTS = { sse: ["sse"], ws: ["ws"], poll: ["poll"], auto: undefined, "event-source": ["sse"] };

test("in Chromium", async (t) => {
  const server = await startServer(t);
  const pages = await startPages(t);
  const browser = await openBrowser(t);
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    for (const [nth, behaviour] of Object.keys(behaviours).entries()) {
      await t.test(`by ${name}: ${behaviour}`, async (t) => {
        const proxy = await startFaultProxy(t, server.port);
        const page = await openPage(browser, `${pages}/`);
        await page.exposeFunction("cut", cutter(proxy));
        const world = { origin: proxy.origin, direct: server.origin, transports, unique: `${name}-${nth}` };
        await page.evaluate(
          async ([behaviour, world, name]) => {
            const sdk = await import("/bellwire.js");
            const { behaviours } = await import("/test/suite.mjs");
            const { openEventSource } = await import("/dist/transports/event-source.js");
            const via = name === "event-source" && { sse: openEventSource };
            await behaviours[behaviour]({ ...sdk, ...world, via, cut });
          },
          [behaviour, world, name],
        );
        await page.context().close();
      });
    }
  }
});
