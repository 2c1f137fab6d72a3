// Puts the parts together: channels, the connection, the uplink, the token and the platform.

import { type Feed, type Host, copy, createFeed, messageOf } from "./channel.js";
import { createChooser } from "./choose.js";
import { createConnection } from "./connection.js";
import { createCredentials } from "./credentials.js";
import { BellwireError } from "./errors.js";
import { createListeners } from "./listeners.js";
import { listenToPlatform } from "./platform.js";
import { createTimer } from "./timer.js";
import type { Envelope, Loss, Open, Outcome, Platform } from "./transports/link.js";
import { openPoll } from "./transports/poll.js";
import { request } from "./transports/request.js";
import { openSse } from "./transports/sse.js";
import { openWebSocket } from "./transports/websocket.js";
import type { Channel, ChannelOptions, EventMap, History, Live, Options, TransportName } from "./types.js";
import { createUplink } from "./uplink.js";

/** A page talks that published thrice within so many ms, and ceases to after so many of silence. */
const TALK_WITHIN = 10_000;
const TALK_OVER = 60_000;
/** How long a post may take, in ms. */
const POST_TIMEOUT = 15_000;

/** A channel with where its next subscription starts, and whether there is one. */
interface Kept extends Feed {
  since: string;
  subscribed: boolean;
}

/**
 * Makes a client of the Bellwire server at `url`. Nothing is opened before somebody listens.
 *
 * @param url where the server is, with or without a path before its `/v1`
 * @throws TypeError where `url` is none
 */
export function bellwire(url: string | URL, options: Options = {}): Live {
  const { fetch, WebSocket, location } = globalThis;
  const platform: Platform = {
    fetch,
    WebSocket,
    ...options,
    base: new URL(`${url}`.replace(/\/*$/, "/"), location?.href),
  };
  const feeds = new Map<string, Kept>();
  const { on, emit } = createListeners();
  const closing = new AbortController();
  const { signal: closed } = closing;
  const credentials = createCredentials(options.token);
  const transports: Partial<Record<TransportName, Open | false>> = {
    // React Native's fetch cannot stream, and its responses have no body.
    sse: "body" in Response.prototype && openSse,
    ws: platform.WebSocket && openWebSocket,
    poll: openPoll,
    ...options.via,
  };
  const chooser = createChooser(options.transports, (name) => !!transports[name], `bellwire:${platform.base.origin}`);

  const connection = createConnection(platform, transports as Record<TransportName, Open>, chooser, credentials, {
    tell(word, said) {
      // What has a name that nobody asked for is the inbox, which has its user's.
      (feeds.get(said.channel) ?? feeds.get("@me"))?.tell(word, said);
    },
    state(state) {
      emit("state", state);
      uplink.pump(state.current === "connected");
    },
  });
  const ask = async (path: string, query: Record<string, string>, init: RequestInit): Promise<Response> =>
    request(platform, path, new URLSearchParams(copy(query)), await credentials.obtain(), init);

  const uplink = createUplink(async (drafts) => {
    try {
      const signal = AbortSignal.any([closed, AbortSignal.timeout(POST_TIMEOUT)]);
      const response = await ask("publish", {}, { method: "POST", body: JSON.stringify(drafts), signal });
      return (await response.json()) as Outcome[];
    } catch (thrown) {
      const error = thrown as BellwireError & Partial<Loss> & { detail: string };
      const code = credentials.isFinal(error.fate!) ? error.code : "unavailable";
      return drafts.map(() => ({ error: { ...error, code } }));
    }
  }, connection.publish);

  /** When the last publications were, one less than make a talk, and what ends a talk. */
  const spoken = [0, 0];
  const silence = createTimer(() => {
    chooser.talking = false;
    connection.settle();
  });

  /** Changes of one moment become one change of the connection. */
  const settling = createTimer(() => {
    for (const [name, feed] of feeds) {
      const listened = feed.listened();
      if (listened === feed.subscribed) continue;
      feed.subscribed = listened;
      if (listened) connection.want(name, feed.since);
      else connection.unwant(name);
      feed.since = "latest";
    }
    connection.settle();
  });

  const host: Host = {
    closed,
    changed: () => settling(0),
    publish(draft, signal) {
      if (closed.aborted) throw new BellwireError("closed");
      const first = spoken.shift()!;
      spoken.push(Date.now());
      chooser.talking ||= !!draft.base64 || Date.now() - first < TALK_WITHIN;
      if (chooser.talking) {
        silence(TALK_OVER);
        connection.settle();
      }
      return uplink.publish(draft, signal);
    },
    async history(channel, { signal, ...asked }) {
      const asking = ask(`channels/${encodeURIComponent(channel)}/history`, asked as Record<string, string>, {
        signal: signal ?? closed,
      });
      const response = await asking.catch((error: Partial<Loss>) => {
        credentials.isFinal(error.fate!);
        throw error;
      });
      const page = (await response.json()) as Omit<History, "messages"> & { messages: Envelope[] };
      return { ...page, messages: page.messages.map(messageOf) };
    },
  };

  listenToPlatform(connection, closed);
  const close = (): void => {
    closing.abort();
    silence();
    connection.close();
    uplink.close();
  };
  if (options.signal?.aborted) close();
  options.signal?.addEventListener("abort", close);

  return {
    get state() {
      return connection.state;
    },
    on,
    channel<E extends EventMap>(name: string, { since = "latest" }: ChannelOptions = {}) {
      let feed = feeds.get(name);
      if (!feed) feeds.set(name, (feed = { ...createFeed(name, host), since, subscribed: false }));
      return feed.channel as unknown as Channel<E>;
    },
    close,
  };
}
