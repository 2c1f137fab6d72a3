// Requests as all transports make them, and the verdict on answers that are not what was asked.

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

/** Asks, with the token if there is one. */
export async function request(
  platform: Platform,
  path: string,
  query: URLSearchParams,
  token: string | undefined,
  init: RequestInit,
): Promise<Response> {
  const { fetch = unsupported, credentials = "same-origin" } = platform;
  if (`${query}`.length > MAX_QUERY) {
    init.method = "POST";
    init.body = JSON.stringify({ channels: query.getAll("channel"), cursor: query.get("cursor") });
    query.delete("channel");
    query.delete("cursor");
  }
  const headers: HeadersInit = token ? { authorization: `Bearer ${token}` } : {};
  return fetch(urlOf(platform, path, query), { cache: "no-store", credentials, headers, ...init });
}

function unsupported(): never {
  throw new TypeError("fetch is missing");
}

/** The fate that a code of the protocol means. */
export function fateOf(code: string): Fate {
  if (/^(unauth|token_|grant_exp)/.test(code)) return "token";
  return /^(overl|unava|drain|idempotency_f|internal|timeout|too_m)/.test(code) ? "busy" : "stop";
}

/** The verdict on a response that is not what was asked for. */
export async function lossOf(response: Response): Promise<Loss & { code: string; detail: string }> {
  const { status, headers } = response;
  const wait = +(headers.get("retry-after") ?? 0) * 1_000;
  if (headers.get("content-type")?.includes("problem+json")) {
    const { code, detail } = (await response.json()) as { code: string; detail: string };
    return { fate: fateOf(code), code, detail, wait };
  }
  const busy = status === 429 || status >= 500;
  const fate = status === 204 ? "stop" : busy ? "busy" : "status";
  return { fate, code: fate, detail: `${status}`, wait };
}

/** Runs a link that is made of requests; `run` gets what asks, which tells of refusals itself. */
export function runLink(
  platform: Platform,
  attempt: Attempt,
  sink: Sink,
  path: string,
  run: (ask: (query: URLSearchParams) => Promise<Response | undefined>) => Promise<void>,
): Link {
  const abort = new AbortController();
  const ask = async (query: URLSearchParams): Promise<Response | undefined> => {
    const response = await request(platform, path, query, attempt.token(), { signal: abort.signal });
    if (response.status === 200) return response;
    const { fate, detail, wait } = await lossOf(response);
    return void sink.lost(fate, detail, wait);
  };
  run(ask).catch((error: Error) =>
    // What does not parse, or is not what the protocol says, is not Bellwire's.
    sink.lost(/^(Syntax|Range)/.test(error.name) ? "status" : "failed", error),
  );
  return { close: () => abort.abort() };
}
