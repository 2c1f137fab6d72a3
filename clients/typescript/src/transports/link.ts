// What the connection and the transports say to each other. A transport waits and translates;
// it decides nothing.

import type { Denied, Gap, Receipt } from "../types.js";

/** What ended a link, and so what comes next. */
export type Fate =
  /** Nothing answered. */
  | "failed"
  /** Something answered that is not Bellwire: a proxy, a captive portal. */
  | "status"
  /** It opened, and no greeting came. */
  | "muted"
  /** It was live, and fell silent. */
  | "silent"
  /** It ended as streams do. */
  | "ended"
  /** The server asked to come back later. */
  | "busy"
  /** A new token is needed. */
  | "token"
  /** The same again will be refused again. */
  | "stop";

export interface Loss {
  fate: Fate;
  /** What the server said, for people. */
  detail?: string | undefined;
  /** Ms that the server asked to stay away. */
  wait?: number | undefined;
}

/** A publication as it is on the wire. */
export interface Envelope {
  channel: string;
  id: string;
  event?: string;
  user?: string;
  time: number;
  data?: unknown;
  base64?: string;
}

/** What the server says itself, by the names it has there, and messages. */
export interface Words {
  /** The channels of the attempt are attached; `cursor` is where they stand. */
  hello(hello: { cursor: string; heartbeat_ms?: number | undefined }): void;
  message(envelope: Envelope): void;
  gap(gap: Gap): void;
  denied(denied: Denied): void;
  bye(bye: { code: string; reason: string; reconnect: boolean; retry_ms?: number }): void;
}

/** What a link tells the connection. */
export interface Sink {
  /** Bytes came, whatever they mean. */
  life(): void;
  /**
   * Takes a word. What is unknown is passed over, as the protocol asks.
   * @throws TypeError where it is not what the protocol says
   */
  say(word: string, payload: unknown): void;
  /** A poll's cursor: everything up to it has been handed over. */
  covered(cursor: string): void;
  /** A channel was added to the link. */
  attached(channel: string, cursor: string): void;
  /** It is no more; the link closes itself or is closed. */
  lost(fate: Fate, detail?: unknown, wait?: number): void;
}

/** An item of a publish request. */
export interface Draft {
  channel: string;
  event?: string | undefined;
  data?: unknown;
  base64?: string;
  idempotency_key: string;
}

/** The refusal of one item. */
export interface Refused {
  error: { status?: number; code: string; detail: string };
}

export interface Link {
  /** Ends it, without a word to the sink. */
  close(): void;
  /** Changes the channels without a new link, where the transport can. */
  update?(channels: readonly string[]): void;
  /** Presents a renewed token without a new link, where the transport can. */
  renew?(token: string): void;
  /** Publishes, where the transport can; nothing when the link was lost before an answer. */
  publish?(draft: Draft): Promise<Receipt | Refused | undefined>;
}

/** What to open a link with. */
export interface Attempt {
  channels: readonly string[];
  /** Where these channels stand now. */
  cursor(channels: readonly string[]): string;
  /** The token as it is now. */
  token(): string | undefined;
  /** Why better transports were given up, for the server's statistics. */
  fallback: readonly string[];
  /** How long a poll is held, in ms: as long as other links are silent between heartbeats. */
  heartbeat(): number;
}

/** What the platform gives. */
export interface Platform {
  /** Where `/v1/…` is. */
  base: URL;
  fetch?: typeof fetch;
  WebSocket?: typeof WebSocket;
  credentials?: RequestCredentials;
}

export type Open = (platform: Platform, attempt: Attempt, sink: Sink) => Link;
