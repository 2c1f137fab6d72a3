// WebSocket: channels come and go by command, and publications go out on the same socket.

import type { Receipt } from "../types.js";
import type { Fate, Open, Refused } from "./link.js";
import { urlOf } from "./request.js";

type Reply = Partial<Refused> & Record<string, { cursor?: string } | undefined>;

/** Close codes after which something else than the same again is needed. */
const FATES: Record<number, Fate> = {
  1013: "busy",
  4001: "token",
  4002: "token",
  4003: "token",
  4004: "stop",
  4007: "stop",
};

export const openWebSocket: Open = (platform, attempt, sink) => {
  const { WebSocket } = platform;
  if (!WebSocket) throw new TypeError("WebSocket is missing");
  const query = new URLSearchParams({ heartbeat: "visible" });
  for (const reason of attempt.fallback) query.append("fallback", reason);
  const url = urlOf(platform, "ws", query);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);

  const waiting = new Map<number, (reply: Reply | undefined) => void>();
  const attached = new Set<string>();
  let requests = 0;
  let heartbeat_ms: number | undefined;
  /** What came before all channels were attached: a greeting comes first on every transport. */
  let early: [word: string, payload: unknown][] | undefined = [];

  const say = (word: string, payload: unknown): void => {
    if (early && word !== "bye") early.push([word, payload]);
    else sink.say(word, payload);
  };
  const send = (name: string, body: object, take: (reply: Reply | undefined) => void): void => {
    if (socket.readyState !== 1) return take(undefined);
    waiting.set(++requests, take);
    socket.send(JSON.stringify({ req: requests, [name]: body }));
  };
  const command = (name: string, body: object): Promise<Reply | undefined> =>
    new Promise((resolve) => send(name, body, resolve));
  const subscribe = async (channel: string): Promise<string | undefined> => {
    attached.add(channel);
    const reply = await command("subscribe", { channel, cursor: attempt.cursor([channel]) });
    const { code: check, detail } = reply?.error ?? {};
    if (check) {
      attached.delete(channel);
      say("denied", { channel, check, detail });
    }
    return reply?.["subscribe"]?.cursor;
  };
  const renew = async (token: string | undefined): Promise<void> => {
    const error = token && (await command("auth", { token }))?.error;
    if (error) lose("token", error.detail);
  };
  const close = (): void => {
    socket.onclose = socket.onerror = socket.onmessage = null;
    socket.close();
    for (const resolve of waiting.values()) resolve(undefined);
  };
  const lose = (fate: Fate, detail: unknown): void => {
    close();
    sink.lost(fate, detail);
  };

  socket.onopen = async () => {
    const token = attempt.token();
    // Replies come in order, so a refused token is known before any channel is.
    void renew(token);
    // A token brings its user's inbox from latest; if it is wanted, then from its cursor. Not by a
    // promise: what comes with the reply must not be dropped.
    if (token) send("unsubscribe", { channel: "@me" }, () => (early = []));
    const cursors = await Promise.all(attempt.channels.map(subscribe));
    if (socket.readyState !== 1) return;
    sink.say("hello", { cursor: cursors.filter(Boolean).join("."), heartbeat_ms });
    const words = early ?? [];
    early = undefined;
    for (const [word, payload] of words) sink.say(word, payload);
  };
  socket.onmessage = ({ data }: MessageEvent<string>) => {
    sink.life();
    try {
      const said = JSON.parse(data);
      if (said.req) {
        waiting.get(said.req)?.(said);
        waiting.delete(said.req);
      } else if (said.channel) say("message", said);
      else if (said.hello) ({ heartbeat_ms } = said.hello);
      else for (const word in said) say(word, said[word]);
    } catch (error) {
      lose("status", error);
    }
  };
  // Not every platform closes what it could not open.
  socket.onerror = () => lose("failed", "the WebSocket failed");
  socket.onclose = ({ code, reason }) => lose(FATES[code] ?? "failed", `${code} ${reason}`);

  return {
    close,
    renew,
    update(channels) {
      for (const channel of attached)
        if (!channels.includes(channel) && attached.delete(channel)) void command("unsubscribe", { channel });
      for (const channel of channels)
        if (!attached.has(channel))
          void subscribe(channel).then((cursor) => cursor && sink.attached(channel, cursor));
    },
    async publish(draft) {
      const reply = await command("publish", draft);
      return reply && (reply.error ? { error: reply.error } : (reply["publish"] as unknown as Receipt));
    },
  };
};
