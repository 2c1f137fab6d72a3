// A web server in front of the one under test: it serves an empty page, redirects, and passes
// everything under /v1 on while it keeps what was asked. Used by the EventSource tests.

import { once } from "node:events";
import { createServer, request } from "node:http";

/** Starts it; `asked` holds method, path and headers of what was passed on. */
export async function startFront(t, port) {
  const front = { asked: [] };
  const server = createServer((incoming, outgoing) => {
    const { method, url: path, headers } = incoming;
    const redirect = path.match(/^\/redirect\/(\d+)\/(.*)$/);
    if (redirect) {
      outgoing.writeHead(Number(redirect[1]), { location: `/${redirect[2]}` }).end();
    } else if (path.startsWith("/v1/")) {
      front.asked.push({ method, path, headers });
      passOn(incoming, outgoing, port);
    } else {
      outgoing.setHeader("content-type", "text/html").end("<!doctype html><title>A page</title>");
    }
  }).listen(0, "127.0.0.1");
  t.after(() => server.close());
  t.after(() => server.closeAllConnections());
  await once(server, "listening");
  front.port = server.address().port;
  front.origin = `http://127.0.0.1:${front.port}`;
  return front;
}

function passOn(incoming, outgoing, port) {
  const { method, url: path, headers } = incoming;
  const upstream = request({ host: "127.0.0.1", port, method, path, headers, agent: false });
  upstream.on("response", (answer) => {
    outgoing.writeHead(answer.statusCode, answer.headers);
    answer.pipe(outgoing);
  });
  upstream.on("error", () => outgoing.destroy());
  outgoing.on("close", () => upstream.destroy());
  incoming.pipe(upstream);
}
