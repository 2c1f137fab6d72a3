// The backends of examples/ as somebody runs them: installed from their lock files, started beside
// a server, and used by two pages of a user and by the SDK.

import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { BINARY, startServer, until } from "../../../../tests/browser/programs.mjs";
import { bellwire } from "../../dist/index.js";
import { openBrowser } from "../support/browser.mjs";
import { startFaultProxy } from "../support/fault-proxy.mjs";
import { freePort } from "../support/ports.mjs";
import { record } from "../support/values.mjs";

const SECRET = "a secret of thirty-two bytes or so";
const ROOT = fileURLToPath(new URL("../../../../examples/", import.meta.url));
/** How long an example may take until it answers, in ms; some machines are slow. */
const PATIENCE_MS = 60_000;

const PYTHON = {
  install: [["python3", "-m", "venv", ".venv"], [".venv/bin/pip", "install", "--quiet", "-r", "requirements.txt"]],
  start: [".venv/bin/python", "app.py"],
};
const EXAMPLES = {
  express: { install: [["npm", "ci", "--no-audit", "--no-fund"]], start: ["node", "server.mjs"] },
  fastapi: PYTHON,
  django: PYTHON,
  axum: {
    install: [["cargo", "build", "--locked", "--target-dir", "target"]],
    start: ["target/debug/bellwire-example-axum"],
  },
};

/** Starts a server and the example beside it, with a proxy between; returns them. */
async function start(t, name) {
  const { install, start } = EXAMPLES[name];
  const cwd = `${ROOT}${name}`;
  for (const [program, ...args] of install) await promisify(execFile)(program, args, { cwd });
  const said = execFileSync(BINARY, ["token", "key", "--scope", "publish:@*"], { encoding: "utf8" });
  const port = await freePort();
  const flags = [
    "--jwt-key", `HS256:${SECRET}`, "--api-key", /^--api-key (\S.*)$/m.exec(said)[1],
    "--allow-origin", `http://127.0.0.1:${port}`,
  ];
  const server = await startServer(t, { dev: false, flags });
  const proxy = await startFaultProxy(t, server.port);
  const env = {
    ...process.env, PORT: `${port}`, SESSION_SECRET: "another secret, for the cookie of a session",
    BELLWIRE_URL: proxy.origin, BELLWIRE_SECRET: SECRET, BELLWIRE_KEY: /^bw_\S+$/m.exec(said)[0],
  };
  const [program, ...args] = start;
  const child = spawn(program, args, { cwd, env, stdio: ["ignore", "ignore", "inherit"] });
  t.after(async () => {
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  const origin = `http://127.0.0.1:${port}`;
  await until(() => fetch(origin).then(({ ok }) => ok, () => false), `${name} answers`, PATIENCE_MS);
  return { server, proxy, origin };
}

/** Logs in; returns a fetch that has the session. */
async function logIn(origin, user) {
  const send = (path, form, cookie = "") =>
    fetch(`${origin}${path}`, { method: form && "POST", body: form && new URLSearchParams(form), headers: { cookie } });
  const { status, headers } = await send("/login", { user });
  assert.equal(status, 204);
  const cookie = headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
  return (path, form) => send(path, form, cookie);
}

for (const name of Object.keys(EXAMPLES)) {
  test(`${name}: an order reaches the pages of its user, and of nobody else`, async (t) => {
    const { server, proxy, origin } = await start(t, name);
    assert.equal((await fetch(`${origin}/push-token`)).status, 401, "a stranger gets no token");
    const [ann, bob] = [await logIn(origin, "ann"), await logIn(origin, "bob@example.com")];
    const inboxOf = (ask) => {
      const token = async () => (await (await ask("/push-token")).json()).token;
      const live = bellwire(server.origin, { token });
      t.after(live.close);
      return record(live.channel("@me", { since: "earliest" }));
    };
    const [own, others] = [inboxOf(ann), inboxOf(bob)];
    const response = await ann("/orders", { item: "tea & cake" });
    assert.equal(response.status, 201);
    const order = await response.json();
    assert.equal((await bob("/orders", { item: "coffee" })).status, 201);
    await until(() => own.messages.length > 0 && others.messages.length > 0, "both have heard");
    assert.deepEqual([own.messages[0].event, own.data()], ["ordered", [order]]);
    assert.deepEqual(others.data().map(({ item }) => item), ["coffee"]);

    const context = await (await openBrowser(t)).newContext();
    const pages = [await context.newPage(), await context.newPage()];
    for (const page of pages) {
      await page.goto(origin);
      await page.getByRole("button", { name: "Log in" }).click();
      // What was ordered before the page was there.
      await page.getByText(": tea & cake").waitFor();
    }
    await pages[0].getByLabel("Item").fill("toast");
    await pages[0].getByRole("button", { name: "Order" }).click();
    for (const page of pages) await page.getByText(": toast").waitFor();

    proxy.stall = true;
    assert.equal((await ann("/orders", { item: "jam" })).status, 201, "a push that fails fails no order");
  });
}
