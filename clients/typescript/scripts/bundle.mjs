// Modules of dist/ with all they import, minified, as a page loads them. Used by the build and by
// the size check.

import { build } from "esbuild";
import { minify } from "terser";
import uglify from "uglify-js";
import { fileURLToPath } from "node:url";

/**
 * Properties that only the client's own parts have of each other, and that no type of the package
 * shows; a bundle may call them as it likes, those that a platform uses too included: nothing of
 * the platform's is asked for any of them.
 */
const OWN = [
  "again", "block", "ranked", "talking", "unblock",
  "begin", "unwant", "pass", "refuse", "together", "want",
  "bearer", "isFinal", "obtain", "renewAt", "nudge", "settle", "suspend",
  "emit", "listened", "tell", "subscribed", "pump", "draft", "sent", "born", "heard", "timer", "greeted", "link",
  "closed", "changed", "fate", "wait", "retry",
];

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
  const properties = { regex: new RegExp(`^(${OWN.join("|")})$`), builtins: true };
  const { code } = await minify(text, { module: true, ecma: 2022, compress: { passes: 3 }, mangle: { properties } });
  // One finds what the other leaves; the names of the first, where they can stay, pack better.
  const smaller = uglify.minify(code, {
    module: true,
    rename: false,
    compress: { passes: 6, comparisons: false },
    mangle: { toplevel: true },
  });
  if (smaller.error) throw smaller.error;
  return smaller.code;
}
