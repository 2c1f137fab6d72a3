// What a server in development mode counted.

/** How often clients said that they gave up a transport for this reason. */
export async function fallbacks(origin, reason) {
  const text = await (await fetch(`${origin}/metrics`)).text();
  return Number(new RegExp(`client_fallbacks_total\\{reason="${reason}"\\} (\\d+)`).exec(text)[1]);
}
