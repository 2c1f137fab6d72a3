// A channel as the user holds it: who listens to what, publishing and history. Made by the client,
// which subscribes it while anybody listens.

import { BellwireError } from "./errors.js";
import { createListeners } from "./listeners.js";
import type { Draft, Envelope } from "./transports/link.js";
import type { Channel, Denied, EventMap, Gap, History, HistoryOptions, ListenOptions, Message, PublishOptions, Receipt } from "./types.js";

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

/** What a channel is told: a publication that the connection let through, or a word about it. */
export type Tell = (
  word: "message" | "gap" | "denied" | "open",
  said: Envelope | Gap | Denied | { readonly channel: string },
) => void;

/** A channel with its inner side, which is the client's. */
export interface Feed {
  channel: Channel<EventMap>;
  /** Whether anybody listens. */
  listened(): boolean;
  tell: Tell;
}

export function createFeed(name: string, host: Host): Feed {
  const { on, emit, listened } = createListeners(host.changed);
  let lost: Gap | undefined;

  async function* messages({ signal }: ListenOptions = {}): AsyncIterableIterator<Message<never>> {
    const unread: Message<never>[] = [];
    const ended = AbortSignal.any([host.closed, signal ?? host.closed]);
    let wake: (() => void) | undefined;
    const off = on("*", (_, message: Message<never>) => {
      if (unread.push(message) > MAX_UNREAD) off();
      wake?.();
    });
    ended.onabort = () => wake?.();
    try {
      while (!ended.aborted) {
        if (unread.length > MAX_UNREAD) throw new BellwireError("slow_consumer");
        if (unread[0]) yield unread.shift()!;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      off();
    }
  }

  return {
    channel: {
      name,
      on,
      messages,
      [Symbol.asyncIterator]: messages,
      publish: async (data: unknown, { event, idempotencyKey = randomKey(), signal }: PublishOptions = {}) =>
        // A copy, so that it goes out, and is repeated, as it is now; what is no JSON ends here.
        host.publish(copy({ channel: name, event, ...payload(data), idempotency_key: idempotencyKey }), signal),
      history: (options = {}) => host.history(name, options),
    } as unknown as Channel<EventMap>,
    listened,
    tell(word, said) {
      if (word === "message") {
        const message = { ...messageOf(said as Envelope), gap: lost };
        lost = undefined;
        emit(message.event ?? word, message.data, message);
        emit("*", message.data, message);
      } else {
        if (word === "gap") lost = said as Gap;
        emit(word, said);
      }
    },
  };
}

/**
 * A value as JSON has it, without what is undefined.
 * @throws TypeError where JSON has no such thing
 */
export function copy<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

/** An envelope as users get it, its bytes as bytes. */
export function messageOf({ base64, ...envelope }: Envelope): Message {
  if (base64 != null) envelope.data = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  return envelope as Message;
}

/** A payload as it is on the wire. */
export function payload(data: unknown): Pick<Draft, "data" | "base64"> {
  if (!ArrayBuffer.isView(data) && !(data instanceof ArrayBuffer)) return { data: data ?? null };
  const view = data as ArrayBufferView & { buffer?: ArrayBuffer };
  const bytes = new Uint8Array(view.buffer ?? (data as ArrayBuffer), view.byteOffset, view.byteLength);
  return { base64: btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), "")) };
}

/** Need not be secret, only new; crypto.randomUUID is missing over plain HTTP. */
function randomKey(): string {
  return `${Date.now()}-${Math.random()}`;
}
