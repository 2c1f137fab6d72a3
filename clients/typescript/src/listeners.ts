// Handlers, and what ends them: shared by channels and the client's state.

import type { ListenOptions } from "./types.js";

type Handler = (...said: never[]) => void;

export interface Listeners {
  /** Keeps a handler until what it returns is called, or the signal aborts. */
  on(event: string, handler: Handler, options?: ListenOptions): () => void;
  emit(event: string, ...said: unknown[]): void;
  /** Whether anybody listens to anything. */
  listened(): boolean;
}

/** @param changed called when a handler came or went */
export function createListeners(changed?: () => void): Listeners {
  const entries = new Set<[event: string, handler: Handler]>();
  return {
    on(event, handler, { signal } = {}) {
      // An entry of its own, so that the same function may listen twice and stop once.
      const entry: [string, Handler] = [event, handler];
      const off = (): void => {
        signal?.removeEventListener("abort", off);
        if (entries.delete(entry)) changed?.();
      };
      if (signal?.aborted) return off;
      entries.add(entry);
      signal?.addEventListener("abort", off);
      changed?.();
      return off;
    },
    emit(event, ...said) {
      for (const entry of [...entries]) {
        try {
          // One of those before may have stopped it.
          if (entry[0] === event && entries.has(entry)) entry[1](...(said as never[]));
        } catch (error) {
          // It is the page's to see, and stops nobody else.
          queueMicrotask(() => {
            throw error;
          });
        }
      }
    },
    listened: () => entries.size > 0,
  };
}
