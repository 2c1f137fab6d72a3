// A double of the client for users' own tests: channels in memory, no server, no timers. What a
// test makes happen has happened when the call returns.

import { type Tell, copy, createFeed, messageOf, payload } from "./channel.js";
import { BellwireError } from "./errors.js";
import { createListeners } from "./listeners.js";
import type { Draft, Envelope } from "./transports/link.js";
import type { Channel, ChannelOptions, EventMap, History, HistoryOptions, Live, Receipt, State, StateName } from "./types.js";

/** What was published through the double, or received by it. */
export interface Recorded {
  readonly channel: string;
  readonly id: string;
  readonly data: unknown;
  readonly event: string | undefined;
}

export interface Double extends Live {
  /** All that the code under test has published, in order. */
  readonly published: readonly Recorded[];
  /** Makes somebody else's publication arrive. Returns its id. */
  receive(channel: string, data: unknown, options?: { event?: string; user?: string }): string;
  /** Tells a channel that something was lost. */
  lose(channel: string, reason?: string): void;
  /** Tells a channel that it is refused. */
  deny(channel: string, detail?: string): void;
  /** Changes the connection's state. */
  become(current: StateName, reason?: string): void;
  /** Makes the next publication fail with this code. */
  failNext(code: string, detail?: string): void;
}

/**
 * Makes a double. It is connected from the start, publications reach its own listeners, and who
 * listens hears what comes from then on, whatever `since` says; nothing says `open`.
 */
export function createDouble(): Double {
  const feeds = new Map<string, ReturnType<typeof createFeed>>();
  const log = new Map<string, Envelope[]>();
  const published: Recorded[] = [];
  const { on, emit } = createListeners();
  const closing = new AbortController();
  const keys = new Map<string, { receipt: Receipt; text: string }>();
  let state: State = { current: "connected", previous: "connecting", reason: "", transport: "sse", retryAt: undefined };
  let failure: BellwireError | undefined;
  let count = 0;

  const tell: Tell = (word, said) => feeds.get(said.channel)?.tell(word, said);
  const append = (envelope: Omit<Envelope, "id" | "time">): string => {
    const id = `1double${String((count += 1)).padStart(12, "0")}`;
    const whole: Envelope = { ...envelope, id, time: Date.now() };
    log.set(whole.channel, [...(log.get(whole.channel) ?? []), whole]);
    tell("message", whole);
    return id;
  };
  const host = {
    closed: closing.signal,
    changed: () => {},
    async publish({ idempotency_key, ...draft }: Draft, signal?: AbortSignal): Promise<Receipt> {
      const { channel, event } = draft;
      const [error, known, text] = [failure, keys.get(`${channel} ${idempotency_key}`), JSON.stringify(draft)];
      if (closing.signal.aborted) throw new BellwireError("closed");
      if (signal?.aborted) throw new BellwireError("aborted");
      failure = undefined;
      if (error) throw error;
      if (known && known.text !== text) throw new BellwireError("idempotency_mismatch", "the key was used for other bytes", 409);
      if (known) return { ...known.receipt, duplicate: true };
      const id = append(draft as Envelope);
      published.push({ channel, id, event, data: messageOf(draft as Envelope).data });
      const receipt = { channel, id, durability: "memory", duplicate: false };
      keys.set(`${channel} ${idempotency_key}`, { receipt, text });
      return receipt;
    },
    async history(channel: string, { limit = 100, order = "asc", cursor }: HistoryOptions): Promise<History> {
      const all = (log.get(channel) ?? []).filter(({ id }) => !cursor || (order === "asc" ? id > cursor : id < cursor));
      const sorted = order === "asc" ? all : all.reverse();
      const page = sorted.slice(0, limit).map(messageOf);
      return { messages: page, cursor: page.at(-1)?.id ?? cursor ?? "", more: sorted.length > limit };
    },
  };
  const become = (current: StateName, reason = ""): void => {
    if (state.current === "closed") return;
    state = { ...state, current, previous: state.current, reason };
    emit("state", state);
  };

  return {
    get state() {
      return state;
    },
    on,
    channel<E extends EventMap>(name: string, _options?: ChannelOptions) {
      const feed = feeds.get(name) ?? createFeed(name, host);
      feeds.set(name, feed);
      return feed.channel as unknown as Channel<E>;
    },
    close() {
      closing.abort();
      become("closed");
    },
    published,
    receive: (channel, data, options) => append(copy({ channel, ...payload(data), ...options })),
    lose: (channel, reason = "retention") =>
      tell("gap", { channel, reason, last: null, next: null, cursor: "" }),
    deny: (channel, detail = "denied by the test") => tell("denied", { channel, check: "test", detail }),
    become,
    failNext: (code, detail = code) => void (failure = new BellwireError(code, detail)),
  };
}
