// Publications on their way out: in order, on the WebSocket where one is in use, else by POST,
// batched while one is in flight. What got no answer is sent again under its key, so nothing is
// published twice. Owned by the client.

import { backoff } from "./backoff.js";
import { BellwireError } from "./errors.js";
import type { Draft, Refused } from "./transports/link.js";
import { fateOf } from "./transports/request.js";
import type { Receipt } from "./types.js";

/** Most publications that wait for an answer. */
const MAX_WAITING = 1_000;
/** Most publications in one request: as many of the longest as fit into a body. */
const MAX_BATCH = 20;
/** The server knows a key for five minutes; what is older, in ms, must not be repeated. */
const KEY_LIFE = 270_000;

type Outcome = Receipt | Refused;

export interface Uplink {
  publish(draft: Draft, signal?: AbortSignal): Promise<Receipt>;
  /** Sends what can be sent. Called when the connection changed. */
  pump(): void;
  /** Ends all that waits. */
  close(): void;
}

interface Item {
  draft: Draft;
  since: number;
  sent?: boolean;
  settle(outcome: Outcome): void;
}

/**
 * @param post posts a batch; resolves with the ms to wait when it got no answer
 * @param direct publishes on the connection, where that can be done
 */
export function createUplink(
  post: (drafts: readonly Draft[]) => Promise<Outcome[] | number>,
  direct: () => ((draft: Draft) => Promise<Outcome | undefined>) | undefined,
): Uplink {
  const items = new Set<Item>();
  let posting = false;
  let failures = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const end = (item: Item, code: string, detail: string): void => item.settle({ error: { code, detail } });

  const pump = (): void => {
    for (const item of items)
      if (Date.now() - item.since > KEY_LIFE) end(item, "unknown", "no answer came");
    if (posting || timer) return;
    const publish = direct();
    if (publish) for (const item of items) void send(item, publish);
    // What is on its way on a link that is closing comes back first, so that order holds.
    else if (items.size && ![...items].some(({ sent }) => sent)) void sendBatch();
  };

  const send = async (item: Item, publish: (draft: Draft) => Promise<Outcome | undefined>): Promise<void> => {
    if (item.sent) return;
    item.sent = true;
    const outcome = await publish(item.draft);
    item.sent = false;
    if (outcome) take(item, outcome);
    pump();
  };

  const sendBatch = async (): Promise<void> => {
    posting = true;
    const batch = [...items].slice(0, MAX_BATCH);
    const answer = await post(batch.map(({ draft }) => draft));
    posting = false;
    if (typeof answer === "number") rest(answer);
    else {
      failures = 0;
      for (const [nth, item] of batch.entries()) if (answer[nth]) take(item, answer[nth]);
    }
    pump();
  };

  /** Settles an item, or keeps it where the server only asks to come back. */
  const take = (item: Item, outcome: Outcome): void => {
    if ("error" in outcome && fateOf(outcome.error.code) === "busy") rest(0);
    else item.settle(outcome);
  };

  const rest = (wait: number): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = undefined;
      pump();
    }, wait + backoff(failures++, Infinity, Math.random()));
  };

  return {
    publish: (draft, signal) =>
      new Promise((resolve, reject) => {
        const item: Item = {
          draft,
          since: Date.now(),
          settle(outcome) {
            items.delete(item);
            signal?.removeEventListener("abort", abort);
            if (!("error" in outcome)) return resolve(outcome);
            const { code, detail, status } = outcome.error;
            reject(new BellwireError(code, detail, status));
          },
        };
        const abort = (): void => end(item, "aborted", "its fate is unknown");
        if (signal?.aborted) return abort();
        if (items.size >= MAX_WAITING) return end(item, "outbox_full", "too many wait for an answer");
        signal?.addEventListener("abort", abort);
        items.add(item);
        pump();
      }),
    pump,
    close() {
      clearTimeout(timer);
      for (const item of items) end(item, "closed", "the client is closed");
    },
  };
}
