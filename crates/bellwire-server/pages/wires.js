// A wire: one subscription to a channel that owns its position and can move from transport to
// transport without losing it. `pane.js` draws it, `start.js` cuts, releases and resumes it.
// Knows nothing of the document.

/** How long a wire stays cut, in ms: long enough to miss something and to be seen. */
const CUT_MS = 3_000;
/** A stream that has not answered after this many ms waits for a connection of the browser. */
const ANSWER_MS = 4_000;
/** EventSource itself waits up to 3 s (the server's `retry:`) before it connects again. */
const EVENT_SOURCE_RETRY_MS = 3_000;
/** Seconds a poll is held: short, so that a browser short of connections can take turns. */
const HOLD_S = 10;
/** Ms between a poll that brought nothing and the next: long enough for others to take a turn. */
const TURN_MS = 200;

/** What to say when a request is not even sent. */
export const CROWDED =
  performance.getEntriesByType("navigation")[0]?.nextHopProtocol === "h2"
    ? "The server has not answered yet."
    : "No free connection: this browser allows six connections per host over HTTP/1.1; " +
      "close other tabs or use the WebSocket pane. This goes on by itself when one is free.";

/** The transports, in the order in which a wire that was cut tries them. */
export const TRANSPORTS = {
  sse: { name: "Server-Sent Events", path: "/v1/sse", open: openEventSource, next: "ws" },
  ws: { name: "WebSocket", path: "/v1/ws", open: openWebSocket, next: "poll" },
  poll: { name: "Long-polling", path: "/v1/poll", open: openPoll, next: "sse" },
};

/** Ms by which this machine's clock is ahead of the server's; null until a live message told. */
let clockSkew = null;

export class Wire {
  /** "connecting" | "live" | "crowded" | "cut" | "retrying" | "released" | "ended" */
  state = "released";
  /** Why it is retrying or ended. */
  detail = "";
  /** Where to resume: the id of the last message, or what hello or a gap said. */
  cursor = null;
  received = 0;
  replayed = 0;
  lost = 0;
  /** The reason of the last gap; a gap does not say how many publications it swallowed. */
  gap = null;
  /** What the last return brought: `{transport, at, replayed, lost, repeated, gap}`. */
  back = null;

  #link = null;
  #timer = 0;
  #failures = 0;
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
    this.transport = this.coming;
    const link = { url: (path, more) => this.#url(path, more) };
    // After a close a WebSocket may still deliver; what a dropped link says no longer counts.
    const current = (act) => (...args) => this.#link === link && act(...args);
    link.push = current((frame) => this.#push(frame));
    link.expect = current((ms) => this.#expect(ms));
    link.answered = current(() => this.#answered());
    link.interrupted = current((ms) => this.#interrupted(ms));
    link.lost = current((why) => this.#retry(why));
    this.#link = link;
    link.close = TRANSPORTS[this.transport].open(link);
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
    const link = this.#link;
    this.#link = null;
    link?.close();
    this.#become(state, detail);
  }

  #become(state, detail = "") {
    this.state = state;
    this.detail = detail;
    this.onchange();
  }

  #url(path, more = {}) {
    const query = new URLSearchParams({ channel: this.channel, ...more });
    if (this.cursor) query.set("cursor", this.cursor);
    return `${path}?${query}`;
  }

  /** Says that the browser is short of connections unless something arrives within `ms`. */
  #expect(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#become("crowded"), ms);
  }

  #answered() {
    clearTimeout(this.#timer);
    if (this.state === "crowded") this.#become("live");
  }

  /** The browser connects again by itself and should be back within `ms`. */
  #interrupted(ms) {
    this.#become("retrying", "the stream was interrupted");
    this.#expect(ms);
  }

  #retry(why, delay) {
    const backoff = Math.min(1_000 * 2 ** this.#failures++, 10_000) * (0.5 + Math.random() / 2);
    this.#hangUp("retrying", why);
    this.#timer = setTimeout(() => this.open(), delay ?? backoff);
  }

  /** Takes one frame: an envelope, or an object with one control member. */
  #push(frame) {
    if (frame.hello) this.#hello(frame.hello);
    else if (frame.gap) this.#gap(frame.gap);
    else if (frame.denied) this.#denied(frame.denied);
    else if (frame.bye) this.#bye(frame.bye);
    else if (frame.id) this.#message(frame);
  }

  #hello({ cursor }) {
    clearTimeout(this.#timer);
    this.#failures = 0;
    if (this.cursor) {
      const transport = this.transport;
      this.back = { transport, at: Date.now(), replayed: 0, lost: 0, repeated: 0, gap: null };
    }
    this.cursor = cursor;
    this.#become("live");
  }

  #gap({ reason, cursor }) {
    this.cursor = cursor;
    this.gap = reason;
    if (this.back) this.back.gap = reason;
    this.onchange();
  }

  #denied({ check, detail }) {
    this.#hangUp("ended", `denied (${check}): ${detail}`);
  }

  #bye({ reason, reconnect, retry_ms, cursor }) {
    if (cursor) this.cursor = cursor;
    if (reconnect) this.#retry(`the server said bye (${reason})`, retry_ms);
    else this.#hangUp("ended", `the server said bye (${reason})`);
  }

  #message(envelope) {
    this.cursor = envelope.id;
    this.received += 1;
    const replayed = this.#isReplay(envelope);
    if (replayed) {
      this.replayed += 1;
      this.back.replayed += 1;
    } else {
      const sample = Date.now() - envelope.time;
      clockSkew = Math.min(clockSkew ?? sample, sample);
    }
    if (envelope.data?.page === this.page) this.#checkTick(envelope.data.tick);
    this.onmessage(envelope, replayed);
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

function openEventSource(link) {
  const source = new EventSource(link.url("/v1/sse"));
  source.onmessage = (event) => link.push(JSON.parse(event.data));
  for (const kind of ["hello", "gap", "denied", "bye"]) {
    source.addEventListener(kind, (event) => link.push({ [kind]: JSON.parse(event.data) }));
  }
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) link.lost("the stream was refused");
    else link.interrupted(EVENT_SOURCE_RETRY_MS + ANSWER_MS);
  };
  link.expect(ANSWER_MS);
  return () => source.close();
}

function openWebSocket(link) {
  const socket = new WebSocket(link.url(`${location.origin.replace(/^http/, "ws")}/v1/ws`));
  socket.onmessage = (event) => link.push(JSON.parse(event.data));
  socket.onclose = (event) => link.lost(`the socket closed with ${event.code}`);
  return () => socket.close(1000);
}

function openPoll(link) {
  const abort = new AbortController();
  const turn = async (hold) => {
    link.expect(hold * 1_000 + ANSWER_MS);
    const url = link.url("/v1/poll", { timeout: hold });
    const response = await fetch(url, { signal: abort.signal, cache: "no-store" });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.detail ?? `HTTP ${response.status}`);
    return answer;
  };
  const run = async () => {
    // The first one is not held: its answer tells that the wire is up.
    for (let hold = 0; !abort.signal.aborted; hold = HOLD_S) {
      const { cursor, messages, gaps, denied } = await turn(hold);
      if (hold === 0) link.push({ hello: { cursor } });
      else link.answered();
      for (const gap of gaps ?? []) link.push({ gap });
      for (const envelope of messages) link.push(envelope);
      for (const refusal of denied ?? []) link.push({ denied: refusal });
      if (hold > 0 && messages.length === 0) await new Promise((next) => setTimeout(next, TURN_MS));
    }
  };
  run().catch((error) => link.lost(error.message));
  return () => abort.abort();
}
