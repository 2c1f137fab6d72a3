// What the node peers have in common: the envelope of a publication, and the request that makes one.

let count = 0;

/** Wraps a payload as Bellwire does, encoded once for all subscribers. */
export function envelope(channel, payload) {
  const id = `1AAAAAAAAAA${String(count++ % 1e10).padStart(10, "0")}`;
  const text = `{"channel":${JSON.stringify(channel)},"id":"${id}","time":${Date.now()},"data":${payload}}`;
  return { id, text };
}

/** The subscribers of each channel. */
export class Channels {
  #members = new Map();

  join(channel, member) {
    const members = this.#members.get(channel);
    if (members) members.add(member);
    else this.#members.set(channel, new Set([member]));
  }

  leave(channel, member) {
    const members = this.#members.get(channel);
    members?.delete(member);
    if (members?.size === 0) this.#members.delete(channel);
  }

  of(channel) {
    return this.#members.get(channel) ?? [];
  }
}

/** The channel that a subscriber asks for. */
export function wanted(request) {
  return new URL(request.url, "http://localhost").searchParams.get("channel");
}

/** Answers `POST /v1/channels/C`, after `publish(channel, payload)`; anything else is not found. */
export function answerPublisher(request, response, publish) {
  const prefix = "/v1/channels/";
  if (request.method !== "POST" || !request.url.startsWith(prefix)) {
    response.writeHead(404).end();
    return;
  }
  const channel = decodeURIComponent(request.url.slice(prefix.length));
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    publish(channel, Buffer.concat(pieces).toString());
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": 11 });
    response.end('{"ok":true}');
  });
}

/** Listens on a port of 127.0.0.1, says `ready`, and keeps idle connections of publishers. */
export function serve(server, port) {
  server.keepAliveTimeout = 3_600_000;
  server.requestTimeout = 0;
  server.listen({ port, host: "127.0.0.1", backlog: 4096 }, () => console.log("ready"));
}
