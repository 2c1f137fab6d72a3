// The token: fetched when it is needed, kept until it is about to expire. Used by the connection
// and by requests.

import { decode } from "./positions.js";
import type { Fate } from "./transports/link.js";
import { tryTo } from "./try-to.js";
import type { TokenSource } from "./types.js";

/** A token is renewed when so much of its life is over. */
const GOOD_SHARE = 0.9;
/** How long one that was asked for is waited for, and the next one after a failure, in ms. */
const PATIENCE = 10_000;

export interface Credentials {
  /** The token as it is now. */
  bearer?: string | undefined;
  /** When to renew it, in ms since the epoch; Infinity where that is not known. */
  renewAt: number;
  /** Sees to it that there is a token; with `anew`, to a new one. */
  obtain(anew?: boolean): Promise<string | undefined>;
  /** Takes note of a refused token. Returns whether this fate is final: asking again is no use. */
  isFinal(fate: Fate): boolean;
}

export function createCredentials(source: TokenSource | undefined): Credentials {
  const renewable = typeof source === "function";
  let pending: Promise<string | undefined> | undefined;
  const load = async (): Promise<string | undefined> => {
    credentials.renewAt = Date.now() + PATIENCE;
    const token = renewable ? await source() : source;
    const left = expiry(token) - Date.now();
    // One that is over by this clock is the server's to judge: it is the clock that is wrong.
    credentials.renewAt = renewable && left > 0 ? Date.now() + left * GOOD_SHARE : Infinity;
    return (credentials.bearer = token);
  };
  const credentials: Credentials = {
    renewAt: Infinity,
    async obtain(anew) {
      if (Date.now() > credentials.renewAt) pending = undefined;
      else if (credentials.bearer && !anew) return credentials.bearer;
      return (pending ??= load().finally(() => (pending = undefined)));
    },
    isFinal(fate) {
      if (fate === "token") credentials.bearer = undefined;
      return fate === "stop" || (fate === "token" && !renewable);
    },
  };
  return credentials;
}

/** When a JWT expires, by its own word, in ms since the epoch; the server judges for itself. */
function expiry(token: string | undefined): number {
  return tryTo(() => (JSON.parse(decode(token!.split(".")[1]!)) as { exp: number }).exp * 1_000) || Infinity;
}
