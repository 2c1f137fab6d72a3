// How long to wait before the next attempt: exponential with full jitter. Used by the connection
// and by repeated publications. Pure: time and randomness are arguments.

/** The window of the first wait, in ms. */
const BASE = 500;
/** The widest window, in ms. */
const CAP = 30_000;

/**
 * The next wait, in ms: uniform over a window that doubles with each failure, but is no longer
 * than the outage has lasted, so that a short one is over soon after it ends.
 */
export function backoff(failures: number, outageMs: number, random: number): number {
  return random * Math.min(CAP, BASE * 2 ** failures, Math.max(BASE, outageMs));
}
