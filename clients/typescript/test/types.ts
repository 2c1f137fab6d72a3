// What the types allow and refuse; checked by `npm run typecheck`, never run.

import { type Message, BellwireError, bellwire } from "../src/index.js";

interface Chat {
  message: string;
  typing: { who: string };
}

const live = bellwire("/", { token: async () => "token", transports: ["sse", "poll"] });
const room = live.channel<Chat>("chat:42", { since: "earliest" });

const stop: () => void = room.on("typing", ({ who }, { id }) => `${who.length} ${id.length}`);
room.on("message", (text) => text.length, { signal: AbortSignal.timeout(1) });
room.on("gap", ({ reason, last }) => `${reason} ${last}`);
room.on("*", (data) => (typeof data === "string" ? data.length : data.who));
// @ts-expect-error: there is no such event
room.on("moved", () => {});
// @ts-expect-error: the payload is of no event's type
void room.publish({ who: 1 });
// @ts-expect-error: there is no such transport
bellwire("/", { transports: ["carrier-pigeon"] });

export async function use(): Promise<string> {
  for await (const message of room) {
    const { data }: Message<string | { who: string }> = message;
    if (typeof data !== "string") return data.who;
  }
  const { id, duplicate } = await room.publish("hi", { event: "typing" });
  const { messages } = await room.history({ order: "desc", limit: 1 });
  stop();
  live.channel("free").on("anything", (data: unknown) => data);
  live.on("state", ({ current, retryAt }) => current === "waiting" && retryAt?.toFixed());
  const error = new BellwireError("closed", "why");
  return `${id} ${duplicate} ${messages.length} ${error.code}`;
}
