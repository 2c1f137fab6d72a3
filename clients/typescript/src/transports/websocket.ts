// WebSocket: channels come and go by command, and publications go out on the same socket.

import type { Receipt } from "../types.js";
import type { Fate, Hello, Open, Refused } from "./link.js";
import { queryOf, urlOf } from "./request.js";

type Reply = Partial<Refused> & { subscribe?: { cursor: string }; publish?: Receipt };
/** A reply, an envelope, or a word with its payload. */
type Said = Record<string, unknown> & { req?: number; hello?: Hello; bye?: unknown; channel?: string };

export const openWebSocket: Open = (platform, attempt, sink) => {
  // Channels and their cursors come after the token, which does not go into the URL.
  const url = urlOf(platform, "ws", queryOf({ ...attempt, channels: [] }, { heartbeat: "visible" }));
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new platform.WebSocket(url);

  const waiting = new Map<number, (reply: Reply) => void>();
  const attached = new Set<string>();
  let requests = 0;
  let hello: Hello | undefined;
  /** Until the first subscription, what comes is of the inbox from latest, and not to be heard. */
  let deaf = true;

  /** The reply is empty where the socket ends before it. */
  const command = (name: string, body: object): Promise<Reply> =>
    new Promise((resolve) => {
      waiting.set(++requests, resolve);
      // One that is closing has an end that is still to come, and that ends what waits.
      if (socket.readyState === 1) socket.send(JSON.stringify({ req: requests, [name]: body }));
    });
  const subscribe = async (channel: string): Promise<string | undefined> => {
    attached.add(channel);
    const { error, subscribe } = await command("subscribe", { channel, cursor: attempt.cursor([channel]) });
    if (error) {
      attached.delete(channel);
      sink.say("denied", { channel, check: error.code, detail: error.detail });
    }
    return subscribe?.cursor;
  };
  const renew = async (token: string): Promise<void> => {
    const { error } = await command("auth", { token });
    if (error) lose("token", error.detail);
  };
  const close = (): void => {
    socket.onclose = socket.onerror = socket.onmessage = null;
    socket.close();
    for (const resolve of waiting.values()) resolve({});
  };
  const lose = (fate: Fate, detail: unknown): void => {
    close();
    sink.lost(fate, detail);
  };

  socket.onopen = async () => {
    // Replies come in order, so a refused token is known before any channel is.
    if (attempt.token) void renew(attempt.token);
    // A token, be it a cookie's, brings its user's inbox from latest; if that is wanted, then from its cursor.
    void command("unsubscribe", { channel: "@me" });
    const cursors = await Promise.all(attempt.channels.map(subscribe));
    sink.say("hello", { ...hello, cursor: cursors.join("."), channels: [...attached] });
  };
  socket.onmessage = ({ data }: MessageEvent<string>) => {
    sink.life();
    try {
      const said = JSON.parse(data) as Said;
      if (said.req) {
        deaf &&= !said["subscribe"];
        waiting.get(said.req)?.(said as Reply);
        waiting.delete(said.req);
      } else if (said.hello) hello = said.hello;
      else if (!deaf || said.bye) {
        if (said.channel) sink.say("message", said);
        else for (const word in said) sink.say(word, said[word]);
      }
    } catch (error) {
      lose("status", error);
    }
  };
  // Not every platform closes what it could not open. A bye has said more than a close code can.
  socket.onclose = socket.onerror = ({ code, reason }: Partial<CloseEvent>) =>
    lose("failed", `WebSocket ${code} ${reason}`);

  return {
    close,
    renew,
    update(channels) {
      // Before the socket is open nothing can be asked; then it starts with these.
      attempt.channels = channels;
      for (const channel of attached)
        if (!channels.includes(channel) && attached.delete(channel)) void command("unsubscribe", { channel });
      for (const channel of channels)
        if (!attached.has(channel))
          void subscribe(channel).then((cursor) => cursor && sink.say("hello", { cursor, channels: [channel] }));
    },
    async publish(draft) {
      const reply = await command("publish", draft);
      return reply.error ? (reply as Refused) : (reply.publish as Receipt | undefined);
    },
  };
};
