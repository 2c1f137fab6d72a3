// How long to wait before the next attempt. Used by the connection and by repeated publications.

/** The window of the first wait, and the widest one, in ms. */
const BASE = 1_000;
const CAP = 30_000;

/**
 * The next wait, in ms. The first is drawn from its whole window, so that those who lost their
 * server together part at once; later ones from the second half of windows that double, so that
 * they come neither in a crowd nor in waves. A window is no longer than the outage has lasted, so
 * that a short one is over soon after it ends.
 */
export function backoff(failures: number, outageMs: number): number {
  const window = Math.min(CAP, BASE * 2 ** failures, Math.max(BASE, outageMs));
  const least = failures && window / 2;
  return least + Math.random() * (window - least);
}
