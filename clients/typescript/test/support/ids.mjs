// Ids as the server makes them: spec/protocol.md, section 3. Epoch 0 gives the null id.

import { createHash } from "node:crypto";

export function idOf(channel, epoch, offset) {
  const hash = createHash("sha256").update(channel).digest().subarray(0, 8);
  const tag = Buffer.alloc(4);
  tag.writeUInt32BE(epoch);
  const varint = [];
  for (let rest = offset; ; rest = Math.floor(rest / 128)) {
    varint.push(rest % 128 | (rest < 128 ? 0 : 128));
    if (rest < 128) break;
  }
  return `1${Buffer.concat([hash, tag, Buffer.from(varint)]).toString("base64url")}`;
}
