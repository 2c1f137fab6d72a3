// Firefox for the client's tests, driven by WebDriver BiDi over its own WebSocket; there is no
// driver in between. Its pages are fresh user contexts: no storage is shared.

import { writeFile } from "node:fs/promises";

import { startProgram, temporaryDirectory } from "../../../../tests/browser/programs.mjs";

const FIREFOX = process.env.FIREFOX_BIN ?? "/usr/bin/firefox-esr";
/** What a fresh profile would fetch by itself. */
const QUIET = ["app.normandy.enabled", "browser.shell.checkDefaultBrowser", "datareporting.policy.dataSubmissionEnabled"];

/** Starts it; `open(url)` opens a page whose `run(code, …arguments)` runs the text of a function there. */
export async function startFirefox(t) {
  const directory = await temporaryDirectory();
  await writeFile(`${directory}/user.js`, QUIET.map((name) => `user_pref("${name}", false);\n`).join(""));
  const args = ["--headless", "--no-remote", "--profile", directory, "--remote-debugging-port", "0"];
  const said = /WebDriver BiDi listening on (ws:\/\/\S+)/;
  const { found } = await startProgram(t, { file: FIREFOX, args, said, directory, signal: "SIGTERM" });
  const ask = await connect(t, `${said.exec(found)[1]}/session`);
  await ask("session.new", { capabilities: {} });
  return {
    async open(url) {
      const { userContext } = await ask("browser.createUserContext", {});
      const { context } = await ask("browsingContext.create", { type: "tab", userContext });
      await ask("browsingContext.navigate", { context, url, wait: "complete" });
      return {
        async run(code, ...values) {
          const functionDeclaration = `async (text) => (${code})(...JSON.parse(text))`;
          const { exceptionDetails } = await ask("script.callFunction", {
            functionDeclaration, awaitPromise: true, target: { context },
            arguments: [{ type: "string", value: JSON.stringify(values) }],
          });
          if (exceptionDetails) throw new Error(exceptionDetails.text);
        },
        close: () => ask("browser.removeUserContext", { userContext }),
      };
    },
  };
}

/** Connects; returns what sends a command and resolves with its result. */
async function connect(t, url) {
  const socket = new WebSocket(url);
  t.after(() => socket.close());
  const waiting = new Map();
  await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }));
  socket.onmessage = ({ data }) => {
    const { id, type, result, error, message } = JSON.parse(data);
    const [resolve, reject] = waiting.get(id) ?? [];
    if (type === "success") resolve?.(result);
    else reject?.(new Error(`${error}: ${message}`));
  };
  let id = 0;
  return (method, params) =>
    new Promise((resolve, reject) => {
      waiting.set((id += 1), [resolve, reject]);
      socket.send(JSON.stringify({ id, method, params }));
    });
}
