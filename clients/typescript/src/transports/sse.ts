// Server-Sent Events over a streaming fetch, which has headers and sees every byte.

import { createParser } from "../sse-parser.js";
import type { Open } from "./link.js";
import { runLink } from "./request.js";

/** With ids=own every channel's position is in its own messages; heartbeats can be seen. */
export const SSE_PARAMETERS = { ids: "own", heartbeat: "visible" };

export const openSse: Open = (platform, attempt, sink) =>
  runLink(platform, attempt, sink, "sse", async (ask) => {
    const { headers, body } = await ask(SSE_PARAMETERS);
    if (!/event-stream/.test(headers.get("content-type")!)) return sink.lost("status");
    let retry: number | undefined;
    const feed = createParser({
      event(name, data) {
        retry = undefined;
        sink.say(name, JSON.parse(data));
      },
      // Beside the greeting it is meant for EventSource; alone it is a node that is full or leaves.
      retry: (ms) => (retry = ms),
    });
    const decoder = new TextDecoder();
    const reader = body!.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return sink.lost(retry ? "busy" : "failed", "closed", retry);
      sink.life();
      feed(decoder.decode(value, { stream: true }));
    }
  });
