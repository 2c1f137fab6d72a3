// A TCP proxy that cuts event streams in the middle of whatever they are saying, and keeps the
// heads of the requests it saw. Used by the EventSource test only.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** A stream is cut after at most this many bytes of its body. */
const LONGEST_CUT = 4_000;
/** The first stream lives long enough to hear hello, so that there is an id to resume from. */
const FIRST_CUT = 1_500;

/** Starts a proxy to `port`; `cuts` is how many streams it cuts before it leaves them alone. */
export async function startCuttingProxy(t, { port, cuts, seed }) {
  const random = generator(seed);
  const proxy = { cut: 0, streams: [] };
  const sockets = new Set();

  const server = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    let budget = Infinity;
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
          const shortest = proxy.streams.push(parseHead(head)) === 1 ? FIRST_CUT : 1;
          budget = shortest + Math.floor(random() * LONGEST_CUT);
        }
        head = "";
      }
      upstream.write(bytes);
    });
    upstream.on("data", (bytes) => {
      // Over plain HTTP, Chromium takes a head that was cut short for a whole one: without its
      // content type an EventSource gives up for good. So the body is what gets cut.
      if (!headSent) budget += bytes.indexOf("\r\n\r\n") + 4;
      headSent = true;
      budget -= bytes.length;
      if (budget > 0 || proxy.cut === cuts) return client.write(bytes);
      proxy.cut += 1;
      upstream.destroy();
      // Either way a stream can end: closed by a proxy, or reset.
      const last = bytes.subarray(0, bytes.length + budget);
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
