// Long-polling: one held request after the other. The first one is not held, so that it is known
// at once whether polling works.

import type { Hello, Open, Sink } from "./link.js";
import { runLink } from "./request.js";

export interface Answer {
  cursor: string;
  messages: unknown[];
  gaps: unknown[];
  denied?: unknown[];
}

/** Seconds that a poll is held. */
const HOLD = 20;
/**
 * A link is dead after one and a half heartbeats of silence; a poll is silent for as long as it is
 * held, and then as long as a request takes, for which there are three seconds.
 */
const HEARTBEAT = ((HOLD + 3) / 1.5) * 1_000;

/** Hands over what an answer brought; the first one of a link, or of new channels, greets. */
export function sayAll(sink: Sink, { cursor, denied = [], gaps, messages }: Answer, hello?: Partial<Hello>): void {
  for (const gap of gaps) sink.say("gap", gap);
  for (const message of messages) sink.say("message", message);
  if (hello) sink.say("hello", { cursor, ...hello });
  for (const refusal of denied) sink.say("denied", refusal);
}

export const openPoll: Open = (platform, attempt, sink) =>
  runLink(platform, attempt, sink, "poll", async (ask) => {
    for (let hold = 0; ; ) {
      const answer = (await (await ask({ timeout: `${hold}` })).json()) as Answer;
      sink.life();
      sayAll(sink, answer, hold ? undefined : { heartbeat_ms: HEARTBEAT });
      // Why it is no better transport is said once.
      attempt.fallback = [];
      hold = HOLD;
    }
  });
