// How a behaviour cuts its link: for an instant, or until it is mended.

/** Returns `cut(state)` for a fault proxy: without a state at once and over, else "down" or "up". */
export function cutter(proxy) {
  return async (state) => {
    proxy.refuse = state === "down";
    if (state !== "up") proxy.cut();
  };
}
