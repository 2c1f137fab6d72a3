// Server-Sent Events over the platform's own EventSource, for those where fetch cannot stream.
// Its token is in the URL, as it has no headers.

import type { Open } from "./link.js";
import { queryOf, urlOf } from "./request.js";
import { SSE_PARAMETERS } from "./sse.js";

const WORDS = ["hello", "message", "gap", "denied", "bye", "heartbeat"];

export const openEventSource: Open = (platform, attempt, sink) => {
  const { credentials } = platform;
  const { token } = attempt;
  const query = queryOf(attempt, { ...SSE_PARAMETERS, ...(token && { token }) });
  const source = new EventSource(urlOf(platform, "sse", query), { withCredentials: credentials === "include" });
  const close = (): void => source.close();
  for (const word of WORDS) {
    source.addEventListener(word, ({ data }: MessageEvent<string>) => {
      try {
        sink.say(word, JSON.parse(data));
      } catch (error) {
        close();
        sink.lost("status", error);
      }
    });
  }
  source.onerror = () => {
    // It would come back by itself, but without what this client knows of other transports.
    close();
    sink.lost("failed", "the EventSource failed");
  };
  return { close };
};
