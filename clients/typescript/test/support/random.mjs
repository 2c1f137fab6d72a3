// Chance that can be repeated: the seed is printed, and BELLWIRE_SEED names one.

/** The seed of this run, told in its output. */
export function seedOf(t) {
  const seed = Number(process.env.BELLWIRE_SEED ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`BELLWIRE_SEED=${seed}`);
  return seed;
}

/** Returns what draws the next number in [0, 1): mulberry32. */
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
