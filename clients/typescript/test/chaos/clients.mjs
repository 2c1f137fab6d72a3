// The clients of a storm, in Node and in Chromium. `open(t, plan)` opens one and returns what closes
// it; the plan has what to open it with, and what to tell: `message(channel, data, at)`, `gap(channel)`
// and `connected(transport)`. What happens in a page is told late, with when it happened.

import { bellwire } from "../../dist/index.js";
import { openPage } from "../support/pages.mjs";
import { SECRET, mintInPage } from "../support/tokens.mjs";

/** Opens a client; runs in both, so it uses nothing from outside. */
function listen(bellwire, { origin, transports, channels, talk, name, tokenLife }, [mint, secret], tell) {
  const live = bellwire(origin, { ...(transports && { transports }), token: () => mint(secret, name, tokenLife) });
  for (const channel of channels) {
    const room = live.channel(channel);
    room.on("message", (data) => tell("message", channel, data, Date.now()));
    room.on("gap", () => tell("gap", channel));
  }
  live.on("state", ({ current, transport }) => current === "connected" && tell("connected", transport));
  const talking = talk && setInterval(() => live.channel(talk.channel).publish(Date.now()).catch(() => {}), talk.every);
  return () => {
    clearInterval(talking);
    live.close();
  };
}

/** A client in this process. */
export async function openHere(t, plan) {
  const close = listen(bellwire, plan, [mintInPage, SECRET], (word, ...said) => plan[word](...said));
  t.after(close);
  return close;
}

/** Opens clients each in a page of its own. */
export function openInPages(browser, pages) {
  return async (t, { message, gap, connected, ...plan }) => {
    const told = { message, gap, connected };
    const page = await openPage(browser, `${pages}/`);
    // A crossing costs a millisecond or so, and more where there are many: they go together.
    await page.exposeFunction("tell", (all) => all.forEach(([word, ...said]) => told[word](...said)));
    await page.evaluate(
      async ([listen, plan, mint, secret]) => {
        const { bellwire } = await import("/bellwire.js");
        let all = [];
        setInterval(() => all.length && tell(all.splice(0)), 100);
        const [open, minting] = [listen, mint].map((source) => (0, eval)(`(${source})`));
        globalThis.close = open(bellwire, plan, [minting, secret], (...said) => all.push(said));
      },
      [`${listen}`, plan, `${mintInPage}`, SECRET],
    );
    return () => page.evaluate(() => close());
  };
}
