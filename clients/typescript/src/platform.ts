// Signs of the outside world, where there is a window: the network came back, the page was put
// away or brought back, the machine woke up. Elsewhere nothing happens.

import type { Connection } from "./connection.js";

/** Passes them on. Returns what ends that. */
export function listenToPlatform({ nudge, suspend }: Pick<Connection, "nudge" | "suspend">): () => void {
  const ended = new AbortController();
  const { signal } = ended;
  const { document } = globalThis;
  // Only a page that may come back; with a connection open it could not be kept.
  const kept = (act: () => void) => (event: Event) => (event as PageTransitionEvent).persisted && act();
  const signs: [EventTarget | undefined, string, (event: Event) => void][] = [
    [globalThis, "online", () => nudge(true)],
    [globalThis, "pageshow", kept(nudge)],
    [globalThis, "pagehide", kept(suspend)],
    [document, "resume", () => nudge()],
    [document, "visibilitychange", () => document.hidden || nudge()],
  ];
  for (const [target, name, act] of signs) target?.addEventListener?.(name, act, { signal });
  return () => ended.abort();
}
