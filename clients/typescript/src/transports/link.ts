// What the connection and the transports say to each other. A transport waits and translates;
// it decides nothing.

import type { Receipt } from "../types.js";

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

/**
 * The channels of the attempt are attached, or those that a change added; `cursor` is where they
 * stand, what was handed over before included.
 */
export interface Hello {
  cursor: string;
  heartbeat_ms?: number | undefined;
  channels?: readonly string[];
}

/** The server ends the session. */
export interface Bye {
  code: string;
  reason: string;
  reconnect: boolean;
  retry_ms?: number;
}

/** What a link tells the connection. */
export interface Sink {
  /** Bytes came, whatever they mean. */
  life(): void;
  /**
   * Takes a word of the protocol and its payload: `hello`, `bye`, `denied`, `gap`, or `message` with
   * an envelope. What is unknown is passed over, as the protocol asks.
   * @throws TypeError where it is not what the protocol says
   */
  say(word: string, payload: unknown): void;
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
  error: {
    status?: number | undefined;
    code: string;
    detail?: string;
    /** Ms that the server asked to stay away. */
    wait?: number | undefined;
  };
}

/** What became of an item. */
export type Outcome = (Receipt & { error?: undefined }) | Refused;

export interface Link {
  /** Ends it, without a word to the sink. */
  close(): void;
  /** Changes the channels without a new link, where the transport can. */
  update?(channels: readonly string[]): void;
  /** Presents a renewed token without a new link, where the transport can. */
  renew?(token: string): void;
  /** Publishes, where the transport can; nothing when the link was lost before an answer. */
  publish?(draft: Draft): Promise<Outcome | undefined>;
}

/** What to open a link with. */
export interface Attempt {
  channels: readonly string[];
  /** Where these channels stand now. */
  cursor(channels: readonly string[]): string;
  /** The token, if there is one. */
  token: string | undefined;
  /** Why other transports were given up, for the server's statistics. */
  fallback: readonly string[];
}

/** What the platform gives. */
export interface Platform {
  /** Where `/v1/…` is. */
  base: URL;
  fetch: typeof fetch;
  WebSocket: typeof WebSocket;
  credentials?: RequestCredentials;
}

export type Open = (platform: Platform, attempt: Attempt, sink: Sink) => Link;
