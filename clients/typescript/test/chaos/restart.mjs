// By hand: a thousand clients whose server is restarted, killed at once or drained, and when they
// come back. Draws docs/restart.svg. `node --experimental-websocket test/chaos/restart.mjs`

import { writeFile } from "node:fs/promises";

import { startServer } from "../../../../tests/browser/programs.mjs";
import { bellwire } from "../../dist/index.js";
import { startFaultProxy } from "../support/fault-proxy.mjs";
import { until } from "../support/values.mjs";

const CLIENTS = 1_000;
const OUTAGE_MS = 3_000;
const BUCKET_MS = 1_000;
const DRAIN = ["--drain-delay", "1s", "--drain-window", "20s"];

const ends = [];
const t = { after: (end) => ends.push(end) };

/** Runs `restart(proxy, server)` under a thousand clients; returns attempts and returns per bucket. */
async function measure(restart) {
  const server = await startServer(t, { flags: DRAIN });
  const proxy = await startFaultProxy(t, server.port);
  const lives = Array.from({ length: CLIENTS }, () => bellwire(proxy.origin));
  const back = [];
  for (const live of lives) live.channel("room").on("message", () => {});
  const all = () => lives.every(({ state }) => state.current === "connected");
  await until(all, "all are connected", 120_000);
  for (const live of lives) live.on("state", ({ current }) => current === "connected" && back.push(Date.now()));
  proxy.accepted.length = 0;
  const since = Date.now();
  await restart(proxy, server);
  await until(() => back.length >= CLIENTS && all(), "all are back", 120_000);
  for (const live of lives) live.close();
  const buckets = (times) => {
    const counts = [];
    for (const at of times) counts[Math.floor((at - since) / BUCKET_MS)] = (counts[Math.floor((at - since) / BUCKET_MS)] ?? 0) + 1;
    return Array.from(counts, (count) => count ?? 0);
  };
  return { attempts: buckets(proxy.accepted), back: buckets(back), took: Math.max(...back) - since };
}

const killed = await measure(async (proxy, server) => {
  await server.stop();
  proxy.refuse = true;
  await new Promise((done) => setTimeout(done, OUTAGE_MS));
  const next = await startServer(t, { flags: DRAIN });
  Object.assign(proxy, { port: next.port, refuse: false });
});
const drained = await measure(async (proxy, server) => {
  const next = await startServer(t, { flags: DRAIN });
  proxy.port = next.port;
  server.signal("SIGTERM");
});
for (const [name, result] of Object.entries({ killed, drained })) console.log(name, JSON.stringify(result));
await writeFile(new URL("../../../../docs/restart.svg", import.meta.url), draw({ killed, drained }));
for (const end of ends.reverse()) await end();
process.exit();

/** Two bar charts, one under the other: attempts a second, and of them those that were greeted. */
function draw(charts) {
  const [width, height, left] = [720, 170, 48];
  const rows = Object.entries(charts).map(([name, { attempts, back }], nth) => {
    const [top, step] = [nth * (height + 50) + 30, (width - left) / 25];
    const most = Math.max(...attempts, ...back);
    const bar = (count, x, colour) =>
      `<rect x="${left + x * step + 1}" y="${top + height - (count / most) * height}" width="${step - 2}" height="${(count / most) * height}" fill="${colour}"/>`;
    const title = name === "killed" ? `Killed, and started again after ${OUTAGE_MS / 1_000} s` : "Drained over 20 s, its successor running";
    return [
      `<text x="0" y="${top - 10}">${title}: attempts a second (pale), greeted (dark)</text>`,
      `<text x="0" y="${top + 10}">${most}</text><text x="0" y="${top + height}">0</text>`,
      ...attempts.map((count, x) => bar(count, x, "#9ccfcb")),
      ...back.map((count, x) => bar(count, x, "#0b6b6b")),
      ...[0, 5, 10, 15, 20].map((x) => `<text x="${left + x * step}" y="${top + height + 16}">${x} s</text>`),
    ].join("\n");
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} 440" font-family="sans-serif" font-size="13" fill="#1d1a16">
<title>When a thousand clients come back after a restart of their server</title>
<rect width="100%" height="100%" fill="#faf8f3"/>
${rows.join("\n")}
</svg>
`;
}
