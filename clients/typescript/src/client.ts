// Puts the parts together: channels, the connection, the uplink, the token and the platform.

import { type Feed, createFeed, guarded, messageOf } from "./channel.js";
import { createChooser } from "./choose.js";
import { createConnection } from "./connection.js";
import { createCredentials } from "./credentials.js";
import { BellwireError } from "./errors.js";
import { listenToPlatform } from "./platform.js";
import type { Draft, Envelope, Open, Platform, Refused } from "./transports/link.js";
import { openPoll } from "./transports/poll.js";
import { lossOf, request } from "./transports/request.js";
import { openSse } from "./transports/sse.js";
import { openWebSocket } from "./transports/websocket.js";
import type { Channel, ChannelOptions, EventMap, History, Live, Options, Receipt, State, TransportName } from "./types.js";
import { createUplink } from "./uplink.js";

const TRANSPORTS: Record<TransportName, Open> = { sse: openSse, ws: openWebSocket, poll: openPoll };

/** A page talks that published so often within so many ms, and ceases to after so many of silence. */
const TALK_COUNT = 3;
const TALK_WITHIN = 10_000;
const TALK_OVER = 60_000;
/** How long a post may take, in ms. */
const POST_TIMEOUT = 15_000;

/**
 * Makes a client of the Bellwire server at `url`. Nothing is opened before somebody listens.
 *
 * @param url where the server is, with or without a path before its `/v1`
 * @throws TypeError where `url` is none
 */
export function bellwire(url: string | URL, options: Options = {}): Live {
  const platform: Platform = {
    // Called without its window fetch would be an illegal invocation.
    fetch: globalThis.fetch?.bind(globalThis),
    WebSocket: globalThis.WebSocket,
    ...options,
    base: new URL(`${url}`.replace(/\/*$/, "/"), globalThis.location?.href),
  };
  const feeds = new Map<string, Feed>();
  const since = new Map<string, string>();
  const subscribed = new Set<string>();
  const listeners = new Set<(state: State) => void>();
  const closing = new AbortController();
  const credentials = createCredentials(options.token);
  const supported: Record<TransportName, unknown> = {
    // React Native's fetch cannot stream, and its responses have no body.
    sse: options.via?.sse ?? (platform.fetch && "body" in Response.prototype),
    ws: platform.WebSocket,
    poll: platform.fetch,
  };
  const chooser = createChooser(options.transports, (name) => !!supported[name], `bellwire:${platform.base.origin}`);
  const feedOf = (channel: string): Feed | undefined =>
    feeds.get(channel) ?? (channel[0] === "@" ? feeds.get("@me") : undefined);

  const connection = createConnection(platform, { ...TRANSPORTS, ...options.via }, chooser, credentials, {
    message: (envelope) => feedOf(envelope.channel)?.deliver(envelope),
    gap: (gap) => feedOf(gap.channel)?.say("gap", gap),
    denied: (denied) => feedOf(denied.channel)?.say("denied", denied),
    open: (channels) => channels.forEach((channel) => feeds.get(channel)?.say("open", { channel })),
    state: (state) => {
      for (const listener of [...listeners]) guarded(() => listener(state));
    },
    ready: () => uplink.pump(),
  });
  const uplink = createUplink(post, connection.publish);

  async function post(drafts: readonly Draft[]): Promise<(Receipt | Refused)[] | number> {
    try {
      const token = await credentials.get();
      const body = JSON.stringify(drafts);
      const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(POST_TIMEOUT)]);
      const response = await request(platform, "publish", new URLSearchParams(), token, { method: "POST", body, signal });
      const { ok, status } = response;
      if (ok) return (await response.json()) as (Receipt | Refused)[];
      const { fate, code, detail, wait } = await lossOf(response);
      if (fate === "token" && credentials.renewable) credentials.expire();
      else if (fate === "token" || fate === "stop") return drafts.map(() => ({ error: { status, code, detail } }));
      return wait ?? 0;
    } catch {
      return 0;
    }
  }

  /** When the last publications were, and what ends a talk. */
  let spoken: number[] = [];
  let silence: ReturnType<typeof setTimeout> | undefined;
  const talk = (bytes: boolean): void => {
    spoken = [...spoken.slice(1 - TALK_COUNT), Date.now()];
    const [first = 0, , last = Infinity] = spoken;
    if (bytes || last - first < TALK_WITHIN) chooser.talking = true;
    if (!chooser.talking) return;
    clearTimeout(silence);
    silence = setTimeout(() => {
      chooser.talking = false;
      connection.settle();
    }, TALK_OVER);
    connection.settle();
  };

  /** Changes of one moment become one change of the connection. */
  let settling: ReturnType<typeof setTimeout> | undefined;
  const settle = (): void => {
    settling = undefined;
    for (const [name, feed] of feeds) {
      if (feed.listened() === subscribed.has(name)) continue;
      if (subscribed.delete(name)) connection.remove(name);
      else {
        subscribed.add(name);
        connection.add(name, since.get(name) ?? "latest");
        since.delete(name);
      }
    }
    connection.settle();
  };

  const host = {
    closed: closing.signal,
    changed: () => (settling ??= setTimeout(settle)),
    publish(draft: Draft, signal: AbortSignal | undefined): Promise<Receipt> {
      if (closing.signal.aborted) return Promise.reject(new BellwireError("closed", "the client is closed"));
      const receipt = uplink.publish(draft, signal);
      talk(!!draft.base64);
      return receipt;
    },
    async history(channel: string, { signal, ...asked }: { signal?: AbortSignal }): Promise<History> {
      const query = new URLSearchParams(asked);
      const path = `channels/${encodeURIComponent(channel)}/history`;
      const response = await request(platform, path, query, await credentials.get(), signal ? { signal } : {});
      if (!response.ok) {
        const { code, detail } = await lossOf(response);
        throw new BellwireError(code, detail, response.status);
      }
      const page = (await response.json()) as History & { messages: Envelope[] };
      return { ...page, messages: page.messages.map((envelope) => messageOf(envelope)) };
    },
  };

  const quiet = listenToPlatform(connection);
  const close = (): void => {
    quiet();
    clearTimeout(silence);
    clearTimeout(settling);
    closing.abort();
    connection.close();
    uplink.close();
  };
  if (options.signal?.aborted) close();
  options.signal?.addEventListener("abort", close);

  return {
    get state() {
      return connection.state;
    },
    on(_, listener, { signal } = {}) {
      const off = () => void listeners.delete(listener);
      if (!signal?.aborted) listeners.add(listener);
      signal?.addEventListener("abort", off);
      return off;
    },
    channel<E extends EventMap>(name: string, { since: start }: ChannelOptions = {}) {
      let feed = feeds.get(name);
      if (!feed) {
        feeds.set(name, (feed = createFeed(name, host)));
        if (start) since.set(name, start);
      }
      return feed.channel as unknown as Channel<E>;
    },
    close,
  };
}
