// A channel as the user holds it: who listens to what, publishing and history. Made by the client,
// which subscribes it while anybody listens.

import { BellwireError } from "./errors.js";
import type { Draft, Envelope } from "./transports/link.js";
import type { Channel, EventMap, Gap, History, HistoryOptions, ListenOptions, Message, PublishOptions, Receipt } from "./types.js";

/** Most messages that wait for a `for await` that is slower than the channel. */
const MAX_UNREAD = 10_000;

/** What a channel needs of its client. */
export interface Host {
  /** Somebody began, or ceased, to listen. */
  changed(): void;
  publish(draft: Draft, signal: AbortSignal | undefined): Promise<Receipt>;
  history(channel: string, options: HistoryOptions): Promise<History>;
  /** Aborts when the client closes. */
  closed: AbortSignal;
}

/** A channel with its inner side, which is the client's. */
export interface Feed {
  channel: Channel<EventMap>;
  /** Whether anybody listens. */
  listened(): boolean;
  /** Hands out a publication that the connection let through. */
  deliver(envelope: Envelope): void;
  /** Hands out something said about the channel. */
  say(word: string, said: unknown): void;
}

type Handler = (said: never, message: never) => void;

export function createFeed(name: string, host: Host): Feed {
  const handlers = new Map<string, Set<Handler>>();
  let lost: Gap | undefined;

  const on = (event: string, handler: Handler, { signal }: ListenOptions = {}): (() => void) => {
    // A function of its own, so that the same one may listen twice and stop once.
    const entry: Handler = (said, message) => handler(said, message);
    const off = (): void => {
      const others = handlers.get(event);
      if (!others?.delete(entry)) return;
      if (!others.size) handlers.delete(event);
      signal?.removeEventListener("abort", off);
      host.changed();
    };
    if (signal?.aborted) return off;
    handlers.set(event, (handlers.get(event) ?? new Set()).add(entry));
    signal?.addEventListener("abort", off);
    host.changed();
    return off;
  };

  async function* messages({ signal }: ListenOptions = {}): AsyncIterableIterator<Message<never>> {
    const unread: Message<never>[] = [];
    const ended = AbortSignal.any(signal ? [signal, host.closed] : [host.closed]);
    let wake = (): void => {};
    const off = on("*", (_, message: Message<never>) => {
      if (unread.length <= MAX_UNREAD) unread.push(message);
      wake();
    });
    ended.onabort = () => wake();
    try {
      while (!ended.aborted) {
        if (unread.length > MAX_UNREAD)
          throw new BellwireError("slow_consumer", "too many messages were not read");
        const message = unread.shift();
        if (message) yield message;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      off();
    }
  }

  const say = (event: string, said: unknown, message?: Message): void => {
    if (event === "gap") lost = said as Gap;
    for (const handler of [...(handlers.get(event) ?? [])]) guarded(() => handler(said as never, message as never));
  };

  return {
    channel: {
      name,
      on,
      messages,
      [Symbol.asyncIterator]: messages,
      publish: (data: unknown, { event, idempotencyKey = randomKey(), signal }: PublishOptions = {}) =>
        host.publish({ channel: name, event, ...payload(data), idempotency_key: idempotencyKey }, signal),
      history: (options = {}) => host.history(name, options),
    } as unknown as Channel<EventMap>,
    listened: () => handlers.size > 0,
    deliver(envelope) {
      const message = messageOf(envelope, lost);
      lost = undefined;
      say(message.event ?? "message", message.data, message);
      say("*", message.data, message);
    },
    say,
  };
}

/** Calls a user's handler. What it throws is the page's to see, and stops nobody else. */
export function guarded(call: () => void): void {
  try {
    call();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** An envelope as users get it, its bytes as bytes. */
export function messageOf({ base64, ...envelope }: Envelope, gap?: Gap): Message {
  if (base64) envelope.data = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  return { data: undefined, ...envelope, ...(gap && { gap }) };
}

function payload(data: unknown): Pick<Draft, "data" | "base64"> {
  const view = data instanceof ArrayBuffer ? new Uint8Array(data) : data;
  if (!ArrayBuffer.isView(view)) return { data: view ?? null };
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  return { base64: btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), "")) };
}

/** Not crypto.randomUUID, which plain HTTP lacks. */
function randomKey(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}
