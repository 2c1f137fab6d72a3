// What the client does, whatever it runs on and by whichever transport. Run in Node, Deno, Bun,
// Chromium and Firefox by the folders beside, so it imports nothing of any. Each behaviour gets the
// SDK and the ends of a proxy: `{ bellwire, BellwireError, origin, direct, transports, cut, unique }`,
// where `direct` is the server without the proxy.

import { connected, post, record, same, until } from "./support/values.mjs";

const open = ({ bellwire, origin, transports, via }) =>
  bellwire(origin, { ...(transports && { transports }), ...(via && { via }) });

export const behaviours = {
  async "publications arrive in order with name, position and time"(world) {
    const { direct, unique } = world;
    const live = open(world);
    const room = live.channel(unique);
    const [plain, scores] = [[], []];
    room.on("message", (data, message) => plain.push([data, message]));
    room.on("score", (data, { event }) => scores.push([data, event]));
    await connected(live);
    const { id } = await post(direct, unique, { a: 1 });
    for (let n = 0; n < 30; n += 1) await post(direct, unique, n);
    await post(direct, unique, { goals: 2 }, "score");
    await until(() => scores.length === 1, "the named publication");
    same(scores, [[{ goals: 2 }, "score"]]);
    same(plain.map(([data]) => data), [{ a: 1 }, ...Array(30).keys()]);
    const [, message] = plain[0];
    same([message.id, message.channel, message.event], [id, unique, undefined]);
    if (Math.abs(message.time - Date.now()) > 60_000) throw new Error(`time is ${message.time}`);
    live.close();
  },

  async "channels share one connection, and one added later costs the others nothing"(world) {
    const { direct, unique } = world;
    const live = open(world);
    const names = ["a", "b", "c"].map((name) => `${unique}:${name}`);
    const [first, second] = names.slice(0, 2).map((name) => record(live.channel(name)));
    await connected(live);
    const publishing = (async () => {
      for (let n = 0; n < 60; n += 1) await post(direct, names[n % 2], n);
    })();
    await until(() => first.messages.length > 3, "the stream runs");
    const third = record(live.channel(names[2]));
    await publishing;
    await until(async () => {
      await post(direct, names[2], "late");
      return third.messages.length > 0;
    }, "the added channel is live");
    await until(() => first.data().includes(58) && second.data().includes(59), "the stream has arrived");
    same(first.data(), Array.from({ length: 30 }, (_, n) => 2 * n));
    same(second.data(), Array.from({ length: 30 }, (_, n) => 2 * n + 1));
    same([first.gaps, second.gaps, third.gaps], [[], [], []]);
    live.close();
  },

  async "a cut link resumes without loss or repetition"(world) {
    const { cut, direct, unique } = world;
    const live = open(world);
    const kept = record(live.channel(unique));
    await connected(live);
    for (let n = 0; n < 90; n += 1) {
      await post(direct, unique, n);
      if (n % 30 === 10) await cut();
    }
    await until(() => kept.data().includes(89), "all have arrived");
    same(kept.data(), [...Array(90).keys()]);
    same(kept.gaps, []);
    live.close();
  },

  async "a loss is said before the next message"(world) {
    const { cut, direct, unique } = world;
    const live = open(world);
    const said = [];
    const room = live.channel(unique);
    room.on("*", (data, { gap }) => said.push(gap ? [data, gap.reason] : data));
    room.on("gap", ({ reason }) => said.push(reason));
    await connected(live);
    await post(direct, unique, "before");
    await until(() => said.length === 1, "the first message");
    await cut("down");
    // History holds 100.
    for (let n = 0; n < 150; n += 1) await post(direct, unique, n);
    await cut("up");
    await until(() => said.at(-1) === 149, "the last message");
    const rest = said.slice(said.indexOf("retention"));
    same(said[0], "before");
    same(rest, ["retention", [50, "retention"], ...Array.from({ length: 99 }, (_, n) => 51 + n)]);
    live.close();
  },

  async "since resumes from a message, or from the earliest"(world) {
    const { direct, unique } = world;
    const ids = [];
    for (let n = 0; n < 3; n += 1) ids.push((await post(direct, unique, n)).id);
    const other = `${unique}:new`;
    const live = open(world);
    const from = record(live.channel(unique, { since: ids[0] }));
    const later = record(live.channel(other));
    await until(() => from.messages.length === 2, "what came after the id");
    same(from.data(), [1, 2]);
    live.close();
    // A channel from its earliest beside one from its latest.
    const again = open(world);
    const all = record(again.channel(unique, { since: "earliest" }));
    const quiet = record(again.channel(other));
    await until(() => all.messages.length === 3, "all of history");
    await post(direct, other, "now");
    await until(() => quiet.messages.length === 1, "the other is live");
    same([all.data(), quiet.data(), later.data()], [[0, 1, 2], ["now"], []]);
    same([all.gaps, quiet.gaps, from.gaps], [[], [], []]);
    again.close();
  },

  async "publications go out in order and resolve with their position"(world) {
    const { unique } = world;
    const live = open(world);
    const room = live.channel(unique);
    const kept = record(room);
    await connected(live);
    const receipts = await Promise.all([...Array(40).keys()].map((n) => room.publish(n)));
    await until(() => kept.messages.length === 40, "all of one's own");
    same(kept.data(), [...Array(40).keys()]);
    same(receipts.map(({ id }) => id), kept.messages.map(({ id }) => id));
    const named = await room.publish({ x: 1 }, { event: "move", idempotencyKey: "k" });
    const twice = await room.publish({ x: 1 }, { event: "move", idempotencyKey: "k" });
    same([named.duplicate, twice.duplicate, twice.id], [false, true, named.id]);
    const error = await room.publish({ x: 2 }, { event: "move", idempotencyKey: "k" }).catch((e) => e);
    same(error.code, "idempotency_mismatch");
    await room.publish(null);
    const bytes = new Uint8Array([0, 1, 254, 255]);
    await room.publish(bytes);
    await until(() => kept.messages.length === 43, "the bytes");
    const [{ data: nothing }, { data }] = kept.messages.slice(41);
    same(nothing, null);
    same([data instanceof Uint8Array, [...data]], [true, [...bytes]]);
    live.close();
  },

  async "a publication that is too large is refused, and holds up no other"(world) {
    const { unique } = world;
    const live = open(world);
    const room = live.channel(unique);
    const kept = record(room);
    await connected(live);
    const large = room.publish("x".repeat(300_000)).then(() => "published", ({ code }) => code);
    const small = [];
    // Also while the server closes a WebSocket because of it.
    for (let n = 0; n < 20; n += 1) {
      small.push(room.publish(n));
      await new Promise((next) => setTimeout(next, 1));
    }
    await Promise.all(small);
    same(await large, "too_large");
    await until(() => kept.messages.length >= 20, "the others have arrived");
    same(kept.data(), [...Array(20).keys()]);
    live.close();
  },

  async "what is published while the link is cut arrives once and in order"(world) {
    const { cut, unique } = world;
    const live = open(world);
    const room = live.channel(unique);
    const kept = record(room);
    await connected(live);
    const receipts = [];
    for (let n = 0; n < 60; n += 1) {
      receipts.push(room.publish(n));
      if (n % 20 === 10) await cut();
      if (n % 7 === 0) await receipts.at(-1);
    }
    await Promise.all(receipts);
    await until(() => kept.messages.length >= 60, "all have arrived");
    same(kept.data(), [...Array(60).keys()]);
    live.close();
  },

  async "history reads back in pages"(world) {
    const { direct, unique, BellwireError } = world;
    const live = open(world);
    const room = live.channel(unique);
    for (let n = 0; n < 5; n += 1) await post(direct, unique, n);
    const page = await room.history({ limit: 3 });
    same([page.messages.map(({ data }) => data), page.more], [[0, 1, 2], true]);
    const rest = await room.history({ cursor: page.cursor });
    same([rest.messages.map(({ data }) => data), rest.more], [[3, 4], false]);
    const newest = await room.history({ order: "desc", limit: 1 });
    same(newest.messages.map(({ data }) => data), [4]);
    const error = await room.history({ cursor: "!" }).catch((e) => e);
    same([error instanceof BellwireError, error.code, error.status], [true, "invalid", 400]);
    live.close();
  },

  async "for await hands out messages until it is aborted"(world) {
    const { direct, unique } = world;
    const live = open(world);
    const room = live.channel(unique);
    const stop = new AbortController();
    const got = [];
    const reading = (async () => {
      for await (const { data } of room.messages({ signal: stop.signal })) {
        got.push(data);
        if (data === 2) stop.abort();
      }
    })();
    await connected(live);
    for (let n = 0; n < 3; n += 1) await post(direct, unique, n);
    await reading;
    same(got, [0, 1, 2]);
    await until(() => live.state.current === "idle", "nobody listens any more");
    live.close();
  },

  async "listeners come and go, and the last one ends the connection"(world) {
    const { direct, unique } = world;
    const live = open(world);
    const states = [];
    live.on("state", ({ current }) => states.push(current));
    const room = live.channel(unique);
    const [one, two] = [[], []];
    const stopOne = room.on("message", (data) => one.push(data));
    const stopTwo = room.on("message", (data) => two.push(data));
    await connected(live);
    await post(direct, unique, 1);
    await until(() => two.length === 1, "both have it");
    stopOne();
    await post(direct, unique, 2);
    await until(() => two.length === 2, "the second has it");
    stopTwo();
    await until(() => live.state.current === "idle", "nobody listens");
    await post(direct, unique, 3);
    same([one, two, room === live.channel(unique)], [[1], [1, 2], true]);
    // Who comes back starts with what is new.
    room.on("message", (data) => one.push(data));
    await connected(live);
    await post(direct, unique, 4);
    await until(() => one.length === 2, "live again");
    same(one, [1, 4]);
    live.close();
    same([live.state.current, live.state.previous], ["closed", "connected"]);
    // Where a machine is so slow that no greeting comes in time, the client rightly tries again.
    const tried = states.join(" ").replace(/connecting( waiting connecting)+/g, "connecting");
    same(tried, "connecting connected idle connecting connected closed");
    const late = await room.publish(1).catch(({ code }) => code);
    same(late, "closed");
  },
};
