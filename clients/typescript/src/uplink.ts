// Publications on their way out: in order, on the WebSocket where one is in use, else by POST,
// batched while one is in flight. What got no answer is sent again under its key, so nothing is
// published twice. Owned by the client.

import { backoff } from "./backoff.js";
import { BellwireError } from "./errors.js";
import { createTimer } from "./timer.js";
import type { Draft, Link, Outcome } from "./transports/link.js";
import { fateOf } from "./transports/request.js";
import type { Receipt } from "./types.js";

/** Most publications that wait for an answer. */
const MAX_WAITING = 1_000;
/** Most publications in one request: as many of the longest as fit into a body. */
const MAX_BATCH = 20;
/** The server knows a key for five minutes; what is older, in ms, must not be repeated. */
const KEY_LIFE = 270_000;

export interface Uplink {
  publish(draft: Draft, signal?: AbortSignal): Promise<Receipt>;
  /** Sends what can be sent. Called when the connection changed; `rested` when it is back. */
  pump(rested?: boolean): void;
  /** Ends all that waits. */
  close(): void;
}

interface Item {
  draft: Draft;
  born: number;
  sent?: boolean;
  settle(outcome: Outcome): void;
}

type Send = (drafts: readonly Draft[]) => Promise<readonly (Outcome | undefined)[]>;

/**
 * @param post posts a batch
 * @param direct publishes on the connection, where that can be done; brings nothing when that was
 * lost before an answer
 */
export function createUplink(post: Send, direct: () => Link["publish"]): Uplink {
  const items = new Set<Item>();
  let posting = false;
  let resting = false;
  let failures = 0;
  const timer = createTimer(() => pump(true));

  const end = (item: Item, code: string): void => item.settle({ error: { code } });

  const pump = (rested?: boolean): void => {
    if (rested) resting = false;
    for (const item of items)
      if (Date.now() - item.born > KEY_LIFE) end(item, "unknown");
    if (posting || resting) return;
    const publish = direct();
    const unsent = [...items].filter(({ sent }) => !sent);
    if (publish) for (const item of unsent) void send([item], async ([draft]) => [await publish(draft!)]);
    // What is on its way on a link that is closing comes back first, so that order holds.
    else if (items.size && unsent.length === items.size) {
      posting = true;
      void send(unsent.slice(0, MAX_BATCH), post);
    }
  };

  const send = async (batch: readonly Item[], by: Send): Promise<void> => {
    for (const item of batch) item.sent = true;
    const outcomes = await by(batch.map(({ draft }) => draft));
    posting = false;
    batch.forEach((item, nth) => {
      item.sent = false;
      if (outcomes[nth]) take(item, outcomes[nth]);
    });
    pump();
  };

  /** Settles an item, or keeps it where the server only asks to come back. */
  const take = (item: Item, outcome: Outcome): void => {
    const { error } = outcome;
    if (!error || fateOf(error.code) !== "busy") {
      failures = 0;
      item.settle(outcome);
    } else if (!resting) {
      resting = true;
      timer((error.wait ?? 0) + backoff(failures++, Infinity));
    }
  };

  return {
    publish: (draft, signal) =>
      new Promise((resolve, reject) => {
        const item: Item = {
          draft,
          born: Date.now(),
          settle(outcome) {
            items.delete(item);
            signal?.removeEventListener("abort", abort);
            if (!outcome.error) return resolve(outcome);
            const { error } = outcome;
            reject(new BellwireError(error.code, error.detail, error.status));
          },
        };
        const abort = (): void => end(item, "aborted");
        if (signal?.aborted) return abort();
        if (items.size >= MAX_WAITING) return end(item, "outbox_full");
        signal?.addEventListener("abort", abort);
        items.add(item);
        pump();
      }),
    pump,
    close() {
      timer();
      for (const item of items) end(item, "closed");
    },
  };
}
