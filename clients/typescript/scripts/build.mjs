// Builds the package: modules with their types into dist/, and the page bundle that the server
// embeds. `--check` compares the committed bundle with a fresh one instead of writing it.

import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { bundle } from "./bundle.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const embedded = fileURLToPath(
  new URL("../../../crates/bellwire-server/pages/bellwire.js", import.meta.url),
);

rmSync(`${root}dist`, { recursive: true, force: true });
execFileSync("npx", ["--no-install", "tsc", "--project", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });

const fresh = await bundle("index.js");
if (!process.argv.includes("--check")) writeFileSync(embedded, fresh);
else if (fresh !== readFileSync(embedded, "utf8")) {
  console.error("pages/bellwire.js is not what the sources build; run `npm run build`");
  process.exit(1);
}
