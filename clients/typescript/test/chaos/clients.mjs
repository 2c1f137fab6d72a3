// The clients of a storm, in Node and in Chromium. `open(t, plan)` opens one and returns what closes
// it; the plan has what to open it with, and what to tell: `message(channel, data)`, `gap(channel)`
// and `connected(transport)`.

import { bellwire } from "../../dist/index.js";
import { openPage } from "../support/pages.mjs";

/** Opens a client; runs in both, so it uses nothing from outside. */
function listen(bellwire, { origin, transports, channels, talk }, token, tell) {
  const live = bellwire(origin, { ...(transports && { transports }), token });
  for (const channel of channels) {
    const room = live.channel(channel);
    room.on("message", (data) => tell("message", channel, data));
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
  const close = listen(bellwire, plan, async () => plan.token(), (word, ...said) => plan[word](...said));
  t.after(close);
  return close;
}

/** Opens clients each in a page of its own. */
export function openInPages(browser, pages) {
  return async (t, { token, message, gap, connected, ...plan }) => {
    const told = { message, gap, connected };
    const page = await openPage(browser, `${pages}/`);
    await page.exposeFunction("token", () => token());
    // A crossing costs a millisecond or so: many go together.
    await page.exposeFunction("tell", (all) => all.forEach(([word, ...said]) => told[word](...said)));
    await page.evaluate(
      async ([listen, plan]) => {
        const { bellwire } = await import("/bellwire.js");
        let all = [];
        setInterval(() => all.length && tell(all.splice(0)), 20);
        globalThis.close = (0, eval)(`(${listen})`)(bellwire, plan, token, (...said) => all.push(said));
      },
      [`${listen}`, plan],
    );
    return () => page.evaluate(() => close());
  };
}
