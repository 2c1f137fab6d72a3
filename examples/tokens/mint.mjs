// Prints a token for the user in SUB, signed with SECRET. Node's standard library only.
import { createHmac } from "node:crypto";

function mint(secret, user, rights) {
  const b64 = (text) => Buffer.from(text).toString("base64url");
  const claims = { sub: user, exp: Math.floor(Date.now() / 1000) + 3600, bellwire: rights };
  const message = b64('{"alg":"HS256","typ":"JWT"}') + "." + b64(JSON.stringify(claims));
  return message + "." + createHmac("sha256", secret).update(message).digest("base64url");
}

console.log(mint(process.env.SECRET, process.env.SUB, { subscribe: ["room:*"] }));
