// Tokens as a backend mints them: docs/tokens.md.

import { createHmac } from "node:crypto";

const SECRET = "0123456789abcdef0123456789abcdef";
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
