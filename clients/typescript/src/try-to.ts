// What may fail without harm. Used where what a peer or the page's storage holds need not be what
// is expected.

/** Returns what `act` does, and nothing where it throws. */
export function tryTo<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}
