// The peer "Pushpin": server.mjs PORT DIR. Starts Pushpin and is the origin behind it, which answers
// /ws/C (WebSocket over HTTP) and /sse/C with the instruction to hold the connection for channel C.
// Publications go to Pushpin's control port PORT+1, not through here.
import { spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";

const port = Number(process.argv[2]);
const folder = path.resolve(process.argv[3]);

function textEvent(text) {
  return `TEXT ${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

/** Subscribes at the opening of a WebSocket; gives back what the client says at its end. */
function answerWebSocket(channel, events, response) {
  response.setHeader("Content-Type", "application/websocket-events");
  if (!events.startsWith("OPEN\r\n")) {
    response.end(events.includes("CLOSE") ? events.slice(events.indexOf("CLOSE")) : "");
    return;
  }
  response.setHeader("Sec-WebSocket-Extensions", "grip");
  const subscription = `c:${JSON.stringify({ type: "subscribe", channel })}`;
  response.end(`OPEN\r\n${textEvent(subscription)}${textEvent("m:hello")}`);
}

const origin = http.createServer((request, response) => {
  const [, kind, channel] = request.url.split("/");
  if (kind === "sse") {
    response.setHeader("Content-Type", "text/event-stream");
    response.setHeader("Grip-Hold", "stream");
    response.setHeader("Grip-Channel", channel);
    response.end(": hello\n\n");
    return;
  }
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => answerWebSocket(channel, Buffer.concat(pieces).toString(), response));
});

function startPushpin() {
  const settings = fs.readFileSync(new URL("pushpin.conf", import.meta.url), "utf8");
  const filled = settings
    .replaceAll("CONTROL", port + 1)
    .replaceAll("PORT", port)
    .replaceAll("DIR", () => folder);
  fs.writeFileSync(path.join(folder, "pushpin.conf"), filled);
  fs.writeFileSync(
    path.join(folder, "routes"),
    `* 127.0.0.1:${origin.address().port},over_http\n`,
  );
  const log = fs.openSync(path.join(folder, "runner.log"), "a");
  const pushpin = spawn("pushpin", ["--config", path.join(folder, "pushpin.conf")], {
    stdio: ["ignore", log, log],
  });
  pushpin.on("exit", () => process.exit());
  process.on("SIGTERM", () => pushpin.kill());
}

/** Whether an event stream opens, and the control port answers. */
async function accepts() {
  // What comes before all of Pushpin's processes have met is lost without an answer.
  const signal = AbortSignal.timeout(500);
  try {
    const stream = await fetch(`http://127.0.0.1:${port}/sse/ready`, { signal });
    await stream.body.cancel();
    const publication = { method: "POST", body: '{"items":[]}', signal };
    const control = await fetch(`http://127.0.0.1:${port + 1}/publish/`, publication);
    await control.text();
    return stream.status === 200 && control.status === 200;
  } catch {
    return false;
  }
}

origin.listen(0, "127.0.0.1", async () => {
  startPushpin();
  while (!(await accepts())) await new Promise((later) => setTimeout(later, 50));
  console.log("ready");
});
