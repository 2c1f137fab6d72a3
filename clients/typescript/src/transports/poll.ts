// Long-polling: one held request after the other. The first one is not held, so that it is known
// at once whether polling works.

import type { Open } from "./link.js";
import { queryOf, runLink } from "./request.js";

interface Answer {
  cursor: string;
  messages: unknown[];
  gaps: unknown[];
  denied?: unknown[];
}

export const openPoll: Open = (platform, attempt, sink) =>
  runLink(platform, attempt, sink, "poll", async (ask) => {
    for (let greeted = false; ; greeted = true) {
      // The server takes whole seconds, up to 60.
      const hold = greeted ? Math.min(60, Math.ceil(attempt.heartbeat() / 1_000)) : 0;
      const cursor = attempt.cursor(attempt.channels);
      const response = await ask(queryOf(attempt, { timeout: `${hold}` }));
      if (!response) return;
      const answer = (await response.json()) as Answer;
      if (!greeted) sink.say("hello", { cursor });
      // Why it is no better transport is said once.
      attempt.fallback = [];
      for (const denied of answer.denied ?? []) sink.say("denied", denied);
      for (const gap of answer.gaps) sink.say("gap", gap);
      for (const message of answer.messages) sink.say("message", message);
      sink.covered(answer.cursor);
    }
  });
