// A TCP proxy that does to connections what networks and other proxies do. The switches act on
// new and open connections as each says.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** Starts a proxy to `port` on 127.0.0.1; `origin` is its address. */
export async function startFaultProxy(t, port) {
  const proxy = {
    port,
    /** New connections are closed at once, as by a dead server. */
    refuse: false,
    /** Nothing passes in either direction, on any connection; it goes on when switched off. */
    stall: false,
    /** Responses of these paths never get out, as behind a proxy that buffers. */
    mute: null,
    /** Upgrade headers are taken out of requests. */
    strip: false,
    /** When connections came, in ms since the epoch. */
    accepted: [],
    /** Requests that came by: "GET /v1/sse?…". */
    requests: [],
    pairs: new Set(),
  };

  const server = createServer({ allowHalfOpen: false }, (client) => {
    proxy.accepted.push(Date.now());
    if (proxy.refuse) return client.destroy();
    const upstream = connect(proxy.port, "127.0.0.1");
    const pair = { client, upstream, muted: false, dead: false, held: [] };
    proxy.pairs.add(pair);
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.on("close", () => {
        // The other side of a half-open link hears of nothing.
        if (pair.dead) return;
        proxy.pairs.delete(pair);
        client.destroy();
        upstream.destroy();
      });
    }
    const forward = (to, bytes) => {
      if (pair.dead) return;
      if (proxy.stall) pair.held.push([to, bytes]);
      else to.write(bytes);
    };
    client.on("data", (bytes) => {
      const head = /^(?:GET|POST|OPTIONS) (\S+)/.exec(bytes.toString("latin1"));
      if (head) {
        proxy.requests.push(head[0]);
        pair.muted = proxy.mute !== null && head[1].startsWith(proxy.mute);
        if (proxy.strip)
          bytes = Buffer.from(bytes.toString("latin1").replace(/^(Upgrade|Connection): .*\r\n/gim, ""), "latin1");
      }
      forward(upstream, bytes);
    });
    upstream.on("data", (bytes) => {
      if (!pair.muted) forward(client, bytes);
    });
  }).listen(0, "127.0.0.1");

  /** Closes all open connections, cleanly or by a reset. */
  proxy.cut = (reset = false) => {
    for (const { client, upstream } of proxy.pairs) {
      if (reset) client.resetAndDestroy();
      else client.destroy();
      upstream.destroy();
    }
  };
  /** Open connections lead nowhere from now on, without a word to either side. */
  proxy.halfOpen = () => {
    for (const pair of proxy.pairs) pair.dead = true;
  };
  /** Lets go on what was held. */
  proxy.flow = () => {
    proxy.stall = false;
    for (const { held } of proxy.pairs) for (const [to, bytes] of held.splice(0)) to.write(bytes);
  };
  t.after(() => {
    server.close();
    for (const { client, upstream } of proxy.pairs) {
      client.destroy();
      upstream.destroy();
    }
  });
  await once(server, "listening");
  proxy.origin = `http://127.0.0.1:${server.address().port}`;
  return proxy;
}
