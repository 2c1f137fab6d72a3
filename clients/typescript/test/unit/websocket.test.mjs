// The WebSocket transport, with a socket that does what a test says.

import assert from "node:assert/strict";
import { test } from "node:test";

import { openWebSocket } from "../../dist/transports/websocket.js";

const turn = async () => { for (let n = 0; n < 10; n += 1) await Promise.resolve(); };

/** A link with its socket, the commands that were sent, and what the sink was told. */
function open({ token, channels = ["a"] } = {}) {
  const world = { sent: [], said: [] };
  class Socket {
    readyState = 0;
    constructor() { world.socket = this; }
    send(text) { world.sent.push(JSON.parse(text)); }
    close() { this.readyState = 3; }
  }
  const sink = {
    life() {},
    say: (...said) => world.said.push(said),
    lost: (...loss) => world.said.push(["lost", ...loss]),
  };
  const platform = { base: new URL("http://server/"), WebSocket: Socket };
  world.link = openWebSocket(platform, { channels, cursor: () => "latest", token, fallback: [] }, sink);
  world.push = (message) => world.socket.onmessage({ data: JSON.stringify(message) });
  /** Opens the socket, and answers each command as the server does. */
  world.start = async () => {
    world.socket.readyState = 1;
    world.socket.onopen();
    await turn();
  };
  return world;
}
const words = ({ said }) => said.map(([word]) => word);

test("what is published on a socket that is closing waits for its end", async () => {
  const { link, socket, said, start } = open();
  await start();
  socket.readyState = 2;
  let outcome = "none";
  link.publish({ channel: "a", data: 1, idempotency_key: "k" }).then((value) => (outcome = value));
  await turn();
  assert.equal(outcome, "none", "an answer at once would be sent again at once, for ever");
  socket.onclose({ code: 1009, reason: "" });
  await turn();
  assert.deepEqual([outcome, said[0][0]], [undefined, "lost"]);
});

test("the inbox that a cookie's token brings from latest is left before anything else is asked", async () => {
  const world = open({ channels: ["@me"] });
  await world.start();
  assert.deepEqual(world.sent.map(({ req: _, ...command }) => command), [
    { unsubscribe: { channel: "@me" } },
    { subscribe: { channel: "@me", cursor: "latest" } },
  ]);
  world.push({ channel: "@ann", id: "1", data: "from latest" });
  world.push({ req: 1, unsubscribe: { cursor: "" } });
  world.push({ req: 2, subscribe: { cursor: "1" } });
  await turn();
  assert.deepEqual(words(world), ["hello"]);
});
