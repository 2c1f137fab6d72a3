// What users import.

export { bellwire } from "./client.js";
export { BellwireError } from "./errors.js";
export type * from "./types.js";
