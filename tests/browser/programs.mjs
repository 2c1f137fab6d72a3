// Programs under test, for all JavaScript tests of this repository: the built server on a free
// port, Debian's Chromium, and waiting for a condition. Each thing ends with the test that asked.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** The server under test. */
export const BINARY =
  process.env.BELLWIRE_BIN ??
  fileURLToPath(new URL("../../target/release/bellwire", import.meta.url));
const CHROMIUM = process.env.CHROMIUM_BIN ?? "/usr/bin/chromium";
const CHROMIUM_FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
/** The server takes every BELLWIRE_ variable for a setting. */
const ENVIRONMENT = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith("BELLWIRE_")),
);
/** Ms after which a condition that has not come true fails its test. */
export const PATIENCE_MS = 20_000;

/**
 * Starts `bellwire serve --dev`, on a free port by default; `url` is what it printed to open.
 * With `dev: false` credentials count, and operations answer on `admin`.
 */
export async function startServer(t, { port = 0, flags = [], config = "", dev = true, admin = "off" } = {}) {
  const directory = await temporaryDirectory();
  const settings = join(directory, "bellwire.toml");
  await writeFile(settings, config);
  const mode = dev ? ["--dev"] : ["--admin-listen", admin];
  const args = ["serve", ...mode, "--listen", `127.0.0.1:${port}`, "--config", settings, ...flags];
  const keyed = flags.includes("--dev-public");
  const said = keyed ? /https?:\/\/\S+\/\?key=\S+/ : /https?:\/\/[^\s/]+:\d+\//;
  const program = { file: BINARY, args, said, directory, signal: "SIGKILL" };
  const { found, stop, signal } = await startProgram(t, program);
  const { href: url, origin, port: bound, searchParams } = new URL(found);
  return { url, origin, port: Number(bound), key: searchParams.get("key"), stop, signal };
}

/** A certificate for this machine that signs itself: the flags that make a server show it. */
export async function certificateFlags(t) {
  const directory = await temporaryDirectory();
  t.after(() => rm(directory, { recursive: true, force: true }));
  const [certificate, key] = ["certificate.pem", "key.pem"].map((name) => join(directory, name));
  const names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
  await promisify(execFile)("openssl", [
    "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
    "-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext", names,
  ]);
  return ["--tls-certificate", certificate, "--tls-key", key];
}

/** Starts Chromium; returns where its debugging protocol answers. */
export async function startChromium(t, flags = []) {
  const directory = await temporaryDirectory();
  const own = [`--user-data-dir=${directory}`, "--remote-debugging-port=0", "about:blank"];
  const args = [...CHROMIUM_FLAGS, ...flags, ...own];
  const said = /ws:\/\/127\.0\.0\.1:\d+\/\S+/;
  const program = { file: CHROMIUM, args, said, directory, signal: "SIGTERM" };
  const { found } = await startProgram(t, program);
  return found;
}

/** Runs the real curl and returns what it printed; fails on an HTTP error. */
export async function curl(...args) {
  const strict = ["--silent", "--show-error", "--fail-with-body"];
  const { stdout } = await promisify(execFile)("curl", [...strict, ...args]);
  return stdout;
}

/** Waits until `condition` returns something true, and returns that. */
export async function until(condition, what, patience = PATIENCE_MS) {
  const deadline = Date.now() + patience;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(Date.now() < deadline, `gave up waiting: ${what}`);
    await new Promise((again) => setTimeout(again, 20));
  }
}

/** How many connections the server lists. */
export async function connectionCount(origin) {
  // Certificates of these tests are trusted by nobody.
  const listing = JSON.parse(await curl("--insecure", `${origin}/v1/connections`));
  return listing.connections.length;
}

/** A directory for one program's files. */
export function temporaryDirectory() {
  return mkdtemp(join(tmpdir(), "bellwire-browser-"));
}

/**
 * Starts a program that keeps its files in `directory`, and waits until its output matches
 * `said`. Both are gone when the test ends: the server is killed, as it would drain first;
 * Chromium is asked to go, as its children still write to its profile.
 */
export async function startProgram(t, { file, args, said, directory, signal }) {
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], env: ENVIRONMENT });
  const exited = once(child, "exit");
  const stop = async () => {
    child.kill(signal);
    await exited;
  };
  t.after(async () => {
    await stop();
    await rm(directory, { recursive: true, force: true, maxRetries: 10 });
  });
  let output = "";
  const found = await new Promise((resolve, reject) => {
    const read = (bytes) => {
      output += bytes;
      const match = output.match(said);
      if (match) resolve(match[0]);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    exited.then(([code]) => reject(new Error(`${file} ended with ${code}:\n${output}`)), reject);
  });
  return { found, stop, signal: (name) => child.kill(name) };
}
