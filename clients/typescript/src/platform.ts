// Signs of the outside world, where there is a window: the network came back, the page was put
// away or brought back, the machine woke up. Elsewhere nothing happens.

import type { Connection } from "./connection.js";

/** Passes them on until the signal aborts. */
export function listenToPlatform({ nudge, suspend }: Pick<Connection, "nudge" | "suspend">, signal: AbortSignal): void {
  const act = ({ type }: Event): void => {
    // A page with a connection open could not be kept for the back button.
    if (type === "pagehide") suspend();
    else if (type !== "visibilitychange" || !document.hidden) nudge(type === "online");
  };
  // On their way down, as not all of the document's bubble.
  for (const type of ["online", "pagehide", "pageshow", "resume", "visibilitychange"])
    globalThis.addEventListener?.(type, act, { capture: true, signal });
}
