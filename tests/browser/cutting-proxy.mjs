// A TCP proxy that cuts event streams in the middle of whatever they are saying, and keeps the
// heads of the requests it saw. Used by the EventSource test only.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** One stream in so many is cut in its first bytes, which is where it catches up. */
const EARLY = 4;
/** The others live for at most so many ms, so that the page keeps up with its publishers. */
const LONGEST_LIFE_MS = 200;

/** Starts a proxy to `port`. Once `armed` it cuts `cuts` streams, then leaves them alone. */
export async function startCuttingProxy(t, { port, cuts, seed }) {
  const random = generator(seed);
  const proxy = { armed: false, cut: 0, streams: [] };
  const sockets = new Set();

  const server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    let deadline = Infinity;
    let headSent = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      // A reset is this proxy's trade; the other side is then closed as well.
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }

    let head = "";
    client.on("data", (bytes) => {
      head += bytes;
      if (head.includes("\r\n\r\n")) {
        if (head.startsWith("GET /v1/sse")) {
          proxy.streams.push(parseHead(head));
          deadline = random() < 1 / EARLY ? 0 : Date.now() + random() * LONGEST_LIFE_MS;
        }
        head = "";
      }
      upstream.write(bytes);
    });
    upstream.on("data", (bytes) => {
      // Over plain HTTP, Chromium takes a head that was cut short for a whole one: without its
      // content type an EventSource gives up for good. So the body is what gets cut.
      const body = headSent ? 0 : bytes.indexOf("\r\n\r\n") + 4;
      headSent = true;
      const spared = !proxy.armed || proxy.cut === cuts || Date.now() < deadline;
      if (spared) return client.write(bytes);
      proxy.cut += 1;
      upstream.destroy();
      // Either way a stream can end: closed by a proxy, or reset.
      const last = bytes.subarray(0, body + Math.floor(random() * (bytes.length - body)));
      if (random() < 0.5) client.end(last);
      else client.write(last, () => client.resetAndDestroy());
    });
  }).listen(0, "127.0.0.1");

  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await once(server, "listening");
  proxy.origin = `http://127.0.0.1:${server.address().port}`;
  return proxy;
}

/** The headers of a request, by lower-case name. */
function parseHead(head) {
  const lines = head.split("\r\n").slice(1);
  const pairs = lines.filter(Boolean).map((line) => line.split(/:\s*/, 2));
  return Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), value]));
}

/** A linear congruential generator, so that a failing run can be repeated. */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
