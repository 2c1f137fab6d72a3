// A timer that is set anew, again and again.

/** Sets it, in ms; without a time, or with one that no timer can wait, it only stops what was set. */
export type Timer = (ms?: number) => void;

export function createTimer(act: () => void): Timer {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return (ms = Infinity) => {
    clearTimeout(timer);
    if (ms < 2 ** 31) timer = setTimeout(act, ms);
  };
}
