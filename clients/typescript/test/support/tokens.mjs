// Tokens as a backend mints them: docs/tokens.md.

import { createHmac } from "node:crypto";

export const SECRET = "0123456789abcdef0123456789abcdef";
/** Flags of a server that takes them, to the second. */
export const FLAGS = ["--jwt-key", `HS256:${SECRET}`, "--jwt-leeway", "0s"];

/** A token of this user for all channels, good for so many seconds. */
export function mint(sub, seconds) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const rights = { subscribe: ["*"], publish: ["*"], history: ["*"] };
  const exp = Math.floor(Date.now() / 1_000) + seconds;
  const body = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub, exp, bellwire: rights })}`;
  return `${body}.${createHmac("sha256", SECRET).update(body).digest("base64url")}`;
}

/** The same by the means of browsers, and with nothing from outside, so that a page can be given it. */
export async function mintInPage(secret, sub, seconds) {
  const bytes = (text) => new TextEncoder().encode(text);
  const part = (text) => btoa(text).replaceAll("=", "").replaceAll("+", "-").replaceAll("/", "_");
  const rights = { subscribe: ["*"], publish: ["*"], history: ["*"] };
  const exp = Math.floor(Date.now() / 1_000) + seconds;
  const parts = [{ alg: "HS256", typ: "JWT" }, { sub, exp, bellwire: rights }];
  const body = parts.map((value) => part(JSON.stringify(value))).join(".");
  const key = await crypto.subtle.importKey("raw", bytes(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const signature = new Uint8Array(await crypto.subtle.sign("HMAC", key, bytes(body)));
  return `${body}.${part(String.fromCharCode(...signature))}`;
}
