// The token: fetched when it is needed, kept until it is about to expire. Used by the connection
// and by requests.

import { decode } from "./positions.js";
import type { TokenSource } from "./types.js";

/** A token is renewed when this share of its life is left, and at most so many ms early. */
const LAST_SHARE = 0.1;
const EARLIEST = 60_000;

export interface Credentials {
  /** The token as it is now. */
  token: string | undefined;
  /** When to renew it, in ms since the epoch; Infinity where that is not known. */
  renewAt: number;
  /** Whether asking again can bring another token. */
  renewable: boolean;
  /** Sees to it that there is a token; with `anew`, to a new one. */
  get(anew?: boolean): Promise<string | undefined>;
  /** The token is refused. */
  expire(): void;
}

export function createCredentials(source: TokenSource | undefined): Credentials {
  let pending: Promise<string | undefined> | undefined;
  const load = async (): Promise<string | undefined> => {
    const token = typeof source === "function" ? await source() : source;
    const life = expiry(token ?? "") - Date.now();
    credentials.renewAt = Date.now() + life - Math.min(EARLIEST, life * LAST_SHARE);
    return (credentials.token = token);
  };
  const credentials: Credentials = {
    token: undefined,
    renewAt: Infinity,
    renewable: typeof source === "function",
    get(anew) {
      if (credentials.token && !anew) return Promise.resolve(credentials.token);
      return (pending ??= load().finally(() => (pending = undefined)));
    },
    expire: () => (credentials.token = undefined),
  };
  return credentials;
}

/** When a JWT expires, by its own word, in ms since the epoch; the server judges for itself. */
function expiry(token: string): number {
  try {
    const { exp } = JSON.parse(decode(token.split(".")[1] ?? "")) as { exp: number };
    return exp * 1_000 || Infinity;
  } catch {
    return Infinity;
  }
}
