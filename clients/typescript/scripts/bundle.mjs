// Modules of dist/ with all they import, minified, as a page loads them. Used by the build and by
// the size check.

import { build } from "esbuild";
import { minify } from "terser";
import { fileURLToPath } from "node:url";

/** Bundles the entries into one module; returns its text. */
export async function bundle(...entries) {
  const contents = entries.map((entry) => `export * from "./${entry}";`).join("\n");
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: fileURLToPath(new URL("../dist/", import.meta.url)) },
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
