// The README's typed examples, TypeScript and JSX, are of the types that the package publishes.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const readme = readFileSync(`${ROOT}README.md`, "utf8");
const blocks = (language) =>
  [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))].map(([, code]) => code);
const COMPILER = {
  strict: true, noEmit: true, module: "nodenext", target: "es2022", lib: ["es2023", "dom"], types: [],
  jsx: "react-jsx", allowJs: true, checkJs: true, skipLibCheck: true,
};

test("the README's TypeScript and JSX are of the published types", (t) => {
  // Inside of the package, so that its name is known there.
  const folder = mkdtempSync(`${ROOT}test/readme-`);
  t.after(() => rmSync(folder, { recursive: true }));
  const write = (name, text) => writeFileSync(`${folder}/${name}`, text);
  const [typed, components] = [blocks("ts"), blocks("jsx")];
  assert.ok(typed.length > 0 && components.length > 0, "there are some");
  for (const [nth, code] of typed.entries())
    write(`${nth}.ts`, `import { bellwire } from "bellwire";\nconst live = bellwire("/");\n${code}\nvoid room;\n`);
  // What a component gets has a type in TypeScript only.
  const props = "/** @param {{ live: import('bellwire').Live, name: string }} props */\n";
  for (const [nth, code] of components.entries())
    write(`${nth}.jsx`, `${code.replace(/^function/m, `${props}export function`)}\n`);
  write("tsconfig.json", JSON.stringify({ compilerOptions: COMPILER, include: ["*"] }));
  const check = () => execFileSync("npx", ["--no-install", "tsc", "--project", folder], { cwd: ROOT, encoding: "utf8" });
  assert.doesNotThrow(check, ({ stdout }) => assert.fail(stdout));
});
