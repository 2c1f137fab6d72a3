// One module with all it imports, minified, as a page loads it. Used by the build and by the size
// check.

import { build } from "esbuild";
import { minify } from "terser";
import { fileURLToPath } from "node:url";

/** Bundles an entry of dist/; returns its text. */
export async function bundle(entry) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(`../dist/${entry}`, import.meta.url))],
    bundle: true,
    format: "esm",
    target: "es2022",
    external: ["react"],
    write: false,
  });
  const [{ text }] = outputFiles;
  const { code } = await minify(text, { module: true, ecma: 2020, compress: { passes: 3 } });
  return code;
}
