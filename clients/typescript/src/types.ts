// The public types. No code: nothing here adds a byte to a bundle.

import type { Open } from "./transports/link.js";

/** The client-facing wires, by the names that the protocol uses. */
export type TransportName = "sse" | "ws" | "poll";

/** A token, or what fetches one; it is called only when a token is needed, or needs renewing. */
export type TokenSource = string | (() => string | Promise<string>);

export interface Options {
  /**
   * A client token (JWT). A function is called before the first connection, shortly before a
   * token expires, and when the server refuses one; a string cannot be renewed.
   */
  token?: TokenSource;
  /**
   * The transports to use, the preferred one first.
   * @defaultValue chosen: SSE while the page listens, WebSocket while it talks, polling where
   * both are blocked
   */
  transports?: readonly TransportName[];
  /** Ends everything when aborted, like `close()`. */
  signal?: AbortSignal;
  /**
   * How fetch treats cookies of a server of another origin.
   * @defaultValue "same-origin"
   */
  credentials?: RequestCredentials;
  /** Replaces the global of that name, for platforms that lack it. */
  fetch?: typeof fetch;
  /** Replaces the global of that name. */
  WebSocket?: typeof WebSocket;
  /**
   * Other ways to open a transport: `{ sse: openEventSource }` from `bellwire/event-source`, on a
   * platform whose fetch cannot stream.
   */
  via?: Partial<Record<TransportName, Open>>;
}

/**
 * - `idle`: no channel has a listener, so there is no connection
 * - `connecting`: the first attempt, or the next one, is under way
 * - `connected`: the channels are live
 * - `waiting`: the connection was lost; the next attempt is at `retryAt`
 * - `stopped`: the server refused for good; a change of the channels tries again
 * - `closed`: `close()` was called
 */
export type StateName = "idle" | "connecting" | "connected" | "waiting" | "stopped" | "closed";

export interface State {
  readonly current: StateName;
  readonly previous: StateName;
  /** Why it became so, for people. */
  readonly reason: string;
  /** What is used now, or is being tried. */
  readonly transport: TransportName | undefined;
  /** When the next attempt is, in ms since the epoch; while `waiting`. */
  readonly retryAt: number | undefined;
}

/** A publication as a handler gets it. */
export interface Message<T = unknown> {
  readonly channel: string;
  /** The publication's position; also what to resume from (`since`). */
  readonly id: string;
  /** The payload: JSON, or a Uint8Array where it was published as bytes. */
  readonly data: T;
  /** The name it was published with. */
  readonly event?: string;
  /** The user who published it. */
  readonly user?: string;
  /** When it was appended, in ms since the epoch. */
  readonly time: number;
  /** What was lost just before this message. */
  readonly gap?: Gap;
}

/** Publications were lost; delivery goes on after `cursor`. */
export interface Gap {
  readonly channel: string;
  readonly reason: string;
  readonly last: string | null;
  readonly next: string | null;
  readonly cursor: string;
}

/** A channel was refused, while others may be live. */
export interface Denied {
  readonly channel: string;
  readonly check: string;
  readonly detail: string;
}

/** What became of a publication. */
export interface Receipt {
  readonly channel: string;
  /** Its position. */
  readonly id: string;
  readonly durability: string;
  /** Whether it had been appended before, under the same key. */
  readonly duplicate: boolean;
}

export interface PublishOptions {
  /** Names the publication; listeners of that name get it. */
  event?: string;
  /**
   * Makes publishing again safe: within five minutes the same key is the same publication.
   * @defaultValue a random one, under which this client repeats what got no answer
   */
  idempotencyKey?: string;
  /** Gives up; whether it was published is then unknown. */
  signal?: AbortSignal;
}

export interface HistoryOptions {
  /** Where to start; without it the oldest, or with `desc` the newest. */
  cursor?: string;
  /** @defaultValue 100 */
  limit?: number;
  /** @defaultValue "asc" */
  order?: "asc" | "desc";
  signal?: AbortSignal;
}

export interface History<T = unknown> {
  readonly messages: readonly Message<T>[];
  /** Where the next page starts. */
  readonly cursor: string;
  readonly more: boolean;
  readonly gap?: Gap;
}

export interface ListenOptions {
  /** Stops listening when aborted. */
  signal?: AbortSignal;
}

export interface ChannelOptions {
  /**
   * Where the first subscription starts: a message's id, `latest`, or `earliest` (which needs the
   * right `history`). It counts once, for the first handle of a channel: what comes later resumes.
   * @defaultValue "latest"
   */
  since?: string;
}

/** Events that say something about the channel itself; no publication can have these names. */
export interface ChannelWords {
  /**
   * The channel is live: what is published from here on arrives. Said again after each new
   * connection; an allowed channel and one about to be denied both get it.
   */
  open: { readonly channel: string };
  gap: Gap;
  denied: Denied;
}

/** The types of a channel's events: `message` is the payload of publications without a name. */
export type EventMap = object;

/** A payload of any of the events. */
export type AnyData<E extends EventMap> = E[keyof E];

/** A channel. It costs nothing until somebody listens. */
export interface Channel<E extends EventMap = Record<string, unknown>> {
  readonly name: string;
  /**
   * Listens to publications of one name, to `message` for those without one, or to `*` for all.
   * Returns what stops it. The channel is subscribed while anybody listens.
   */
  on<K extends keyof E & string>(
    event: K,
    handler: (data: E[K], message: Message<E[K]>) => void,
    options?: ListenOptions,
  ): () => void;
  on(
    event: "*",
    handler: (data: AnyData<E>, message: Message<AnyData<E>>) => void,
    options?: ListenOptions,
  ): () => void;
  on<W extends keyof ChannelWords>(
    event: W,
    handler: (said: ChannelWords[W]) => void,
    options?: ListenOptions,
  ): () => void;
  /** All publications, one after the other. Ends when the signal aborts or the client closes. */
  messages(options?: ListenOptions): AsyncIterableIterator<Message<AnyData<E>>>;
  [Symbol.asyncIterator](): AsyncIterableIterator<Message<AnyData<E>>>;
  /**
   * Publishes, in order with what this client published before, and resolves with the position.
   * Bytes go as bytes, everything else as JSON. What got no answer is repeated under its key.
   * @throws BellwireError when it is refused, or its fate stays unknown
   */
  publish<K extends keyof E>(data: E[K], options?: PublishOptions): Promise<Receipt>;
  /** Reads back what the log still holds. */
  history(options?: HistoryOptions): Promise<History<AnyData<E>>>;
}

/** A client: one connection, shared by all of its channels. */
export interface Live {
  readonly state: State;
  /** Called with each new state. Returns what stops it. */
  on(event: "state", handler: (state: State) => void, options?: ListenOptions): () => void;
  /** The channel of that name; the same one each time. `@me` is the inbox of the token's user. */
  channel<E extends EventMap = Record<string, unknown>>(
    name: string,
    options?: ChannelOptions,
  ): Channel<E>;
  /** Ends the connection and all that waits. */
  close(): void;
}
