// Requests as all transports make them, and the verdict on answers that are not what was asked.

import { BellwireError } from "../errors.js";
import type { Attempt, Fate, Link, Loss, Platform, Sink } from "./link.js";

/** Longest query that goes into a URL; longer lists of channels are posted. */
const MAX_QUERY = 6_000;

/** The query of a link: why it is not a better one, its channels, and where they stand. */
export function queryOf(attempt: Attempt, more: Record<string, string>): URLSearchParams {
  const query = new URLSearchParams(more);
  for (const reason of attempt.fallback) query.append("fallback", reason);
  for (const channel of attempt.channels) query.append("channel", channel);
  query.set("cursor", attempt.cursor(attempt.channels));
  return query;
}

export function urlOf({ base }: Platform, path: string, query: URLSearchParams): URL {
  return new URL(`v1/${path}?${query}`, base);
}

/**
 * Asks, with the token if there is one.
 * @throws BellwireError with the `Loss` that it means, where the answer is not 200
 */
export async function request(
  platform: Platform,
  path: string,
  query: URLSearchParams,
  token: string | undefined,
  init: RequestInit,
): Promise<Response> {
  if (`${query}`.length > MAX_QUERY) {
    init = { ...init, method: "POST", body: JSON.stringify({ channels: query.getAll("channel"), cursor: query.get("cursor") }) };
    query.delete("channel");
    query.delete("cursor");
  }
  const { fetch, credentials } = platform;
  const headers: HeadersInit = token ? { authorization: `Bearer ${token}` } : {};
  const response = await fetch(urlOf(platform, path, query), { cache: "no-store", credentials: credentials!, headers, ...init });
  const { status, headers: given } = response;
  if (status === 200) return response;
  let fate: Fate = status > 428 ? "busy" : "status";
  let code: string = fate;
  let detail = `${status}`;
  if (/problem/.test(given.get("content-type")!)) {
    ({ code, detail } = (await response.json()) as { code: string; detail: string });
    fate = fateOf(code);
  }
  const wait = +given.get("retry-after")! * 1_000 || 0;
  throw Object.assign(new BellwireError(code, detail, status), { fate, detail, wait });
}

/** The fate that a code of the protocol means. */
export function fateOf(code: string): Fate {
  if (/unauth|token/.test(code)) return "token";
  return /load|avail|drain|full|intern|time|many|limited/.test(code) ? "busy" : "stop";
}

/** Runs a link that is made of requests; `run` gets what asks, which does not return when refused. */
export function runLink(
  platform: Platform,
  attempt: Attempt,
  sink: Sink,
  path: string,
  run: (ask: (more: Record<string, string>) => Promise<Response>) => Promise<void>,
): Link {
  const abort = new AbortController();
  const { signal } = abort;
  run((more) => request(platform, path, queryOf(attempt, more), attempt.token, { signal })).catch(
    ({ name, message, fate, detail = message, wait }: Error & Partial<Loss>) =>
      // What does not parse, or is not what the protocol says, is not Bellwire's.
      sink.lost(fate ?? (/^(Syntax|Range)/.test(name) ? "status" : "failed"), detail, wait),
  );
  return { close: () => abort.abort() };
}
