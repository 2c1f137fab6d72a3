// A wire: one subscription to a channel that owns its position and can move from transport to
// transport without losing it. `pane.js` draws it, `start.js` cuts, releases and resumes it.
// Each time it is open it is a client of its own, on one transport. Knows nothing of the document.

import { bellwire } from "/bellwire.js";

/** How long a wire stays cut, in ms: long enough to miss something and to be seen. */
const CUT_MS = 3_000;

/** What to say when a request is not even sent. */
export const CROWDED =
  performance.getEntriesByType("navigation")[0]?.nextHopProtocol === "h2"
    ? "The server has not answered yet."
    : "No free connection: this browser allows six connections per host over HTTP/1.1; " +
      "close other tabs or use the WebSocket pane. This goes on by itself when one is free.";

/** The transports, in the order in which a wire that was cut tries them. */
export const TRANSPORTS = {
  sse: { name: "Server-Sent Events", path: "/v1/sse", next: "ws" },
  ws: { name: "WebSocket", path: "/v1/ws", next: "poll" },
  poll: { name: "Long-polling", path: "/v1/poll", next: "sse" },
};

/** Ms by which this machine's clock is ahead of the server's; null until a live message told. */
let clockSkew = null;

export class Wire {
  /** "connecting" | "live" | "crowded" | "cut" | "retrying" | "released" | "ended" */
  state = "released";
  /** Why it is retrying or ended. */
  detail = "";
  /** Where to resume: the id of the last message, or where a gap ended. */
  cursor = null;
  received = 0;
  replayed = 0;
  lost = 0;
  /** The reason of the last gap; a gap does not say how many publications it swallowed. */
  gap = null;
  /** What the last return brought: `{transport, at, replayed, lost, repeated, gap}`. */
  back = null;

  #live = null;
  #timer = 0;
  #lastTick = null;

  /**
   * @param {string} channel
   * @param {keyof TRANSPORTS} transport to begin with
   * @param {string} page marks the numbered messages of this page, whose numbers must be dense
   */
  constructor(channel, transport, page) {
    this.channel = channel;
    this.transport = this.coming = transport;
    this.page = page;
    this.onchange = () => {};
    this.onmessage = () => {};
  }

  /** Connects on the transport that is due, from the cursor. */
  open() {
    this.#hangUp("connecting");
    const transport = (this.transport = this.coming);
    this.#expectReturn();
    const live = (this.#live = bellwire("/", { transports: [transport] }));
    const room = live.channel(this.channel, { since: this.cursor ?? "latest" });
    live.on("state", (state) => this.#follow(state));
    room.on("gap", (gap) => this.#gap(gap));
    room.on("denied", ({ check, detail }) => this.#hangUp("ended", `denied (${check}): ${detail}`));
    room.on("*", (_, message) => this.#message(message));
    if (!this.cursor) room.on("open", () => this.#begin(room));
  }

  /** Closes the connection for a while, then comes back on the next transport. */
  cut() {
    this.#hangUp("cut");
    this.coming = TRANSPORTS[this.transport].next;
    this.#timer = setTimeout(() => this.open(), CUT_MS);
  }

  /** Gives the connection back to the browser; the cursor stays. */
  release() {
    if (this.state !== "ended") this.#hangUp("released");
  }

  resume() {
    if (this.state === "released") this.open();
  }

  #hangUp(state, detail = "") {
    clearTimeout(this.#timer);
    const live = this.#live;
    this.#live = null;
    live?.close();
    this.#become(state, detail);
  }

  #become(state, detail = "") {
    this.state = state;
    this.detail = detail;
    this.onchange();
  }

  /** A wire that has heard nothing yet resumes from what was the newest message when it began. */
  async #begin(room) {
    // It fails where the wire hangs up meanwhile, which begins anew then.
    const newest = await room.history({ order: "desc", limit: 1 }).catch(() => null);
    if (!newest) return;
    this.cursor ??= newest.messages[0]?.id ?? "earliest";
    this.onchange();
  }

  /** What the client says of its connection. */
  #follow({ current, previous, reason }) {
    if (current === "connected") this.#become("live");
    // A stream that gets no answer at all waits for a connection of the browser.
    else if (current === "waiting" && reason === "muted") this.#become("crowded");
    else if (current === "waiting") {
      if (previous === "connected") this.#expectReturn();
      this.#become("retrying", reason);
    }
  }

  /** What comes from now on is counted as what the next return brought. */
  #expectReturn() {
    if (!this.cursor) return;
    const { transport } = this;
    this.back = { transport, at: Date.now(), replayed: 0, lost: 0, repeated: 0, gap: null };
  }

  #gap({ reason, cursor }) {
    this.cursor = cursor;
    this.gap = reason;
    if (this.back) this.back.gap = reason;
    this.onchange();
  }

  #message(message) {
    this.cursor = message.id;
    this.received += 1;
    const replayed = this.#isReplay(message);
    if (replayed) {
      this.replayed += 1;
      this.back.replayed += 1;
    } else {
      const sample = Date.now() - message.time;
      clockSkew = Math.min(clockSkew ?? sample, sample);
    }
    if (message.data?.page === this.page) this.#checkTick(message.data.tick);
    this.onmessage(message, replayed);
    this.onchange();
  }

  /** Whether it was published before this wire came back, by the server's clock. */
  #isReplay({ time }) {
    return this.back !== null && time < this.back.at - (clockSkew ?? 0);
  }

  /** The page numbers its own messages, so a loss that no gap announced would show here. */
  #checkTick(tick) {
    const expected = (this.#lastTick ?? tick - 1) + 1;
    const missing = Math.max(tick - expected, 0);
    this.lost += missing;
    if (this.back) {
      this.back.lost += missing;
      if (tick < expected) this.back.repeated += 1;
    }
    this.#lastTick = Math.max(tick, expected - 1);
  }
}
