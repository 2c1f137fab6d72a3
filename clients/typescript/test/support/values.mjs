// Small things that tests in Node and in pages share. Runs in both, so it imports nothing.

/** Waits until `condition` returns something true, and returns that; as long as a slow machine may need. */
export async function until(condition, what, patience = 30_000) {
  const deadline = Date.now() + patience;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`gave up waiting: ${what}`);
    await new Promise((again) => setTimeout(again, 10));
  }
}

/** Fails unless both are the same JSON. */
export function same(actual, expected, what = "values") {
  const [a, b] = [actual, expected].map((value) => JSON.stringify(value));
  if (a !== b) throw new Error(`${what}: got ${a}, expected ${b}`);
}

/** Publishes to a channel by plain HTTP; returns the receipt. */
export async function post(origin, channel, data, event) {
  const query = event ? `?event=${event}` : "";
  const url = `${origin}/v1/channels/${channel}${query}`;
  // As text/plain, which fetch says of itself, it would be text; this type needs no preflight.
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(data) });
  return response.json();
}

/**
 * Publishes 0, 1, 2, … or what `data` makes of them, one after the other with a pause of so many ms.
 * Returns what ends it, and brings how many were published.
 */
export function keepPosting(origin, channel, pause, data = (n) => n) {
  let count = 0;
  let going = true;
  const posting = (async () => {
    for (; going; count += 1) {
      await post(origin, channel, data(count));
      await new Promise((next) => setTimeout(next, pause));
    }
  })();
  return async () => {
    going = false;
    await posting;
    return count;
  };
}

/** All that a channel says, kept: messages, and what was said about the channel. */
export function record(channel) {
  const kept = { messages: [], gaps: [], denied: [], data: () => kept.messages.map(({ data }) => data) };
  channel.on("*", (_, message) => kept.messages.push(message));
  channel.on("gap", (gap) => kept.gaps.push(gap));
  channel.on("denied", (denied) => kept.denied.push(denied));
  return kept;
}

/** Waits until the client is connected. */
export function connected(live) {
  return until(() => live.state.current === "connected", "the client is connected");
}
