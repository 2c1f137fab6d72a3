// The start page: three wires on one channel, a publish box and the lines to copy.
// Wires up the modules beside it and follows the tab's visibility.

import { createPane } from "./pane.js";
import { publish, Ticker } from "./publish.js";
import { Wire } from "./wires.js";

const CHANNEL = "demo";
const byId = (id) => document.getElementById(id);
const page = crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
const wires = ["sse", "ws", "poll"].map((transport) => new Wire(CHANNEL, transport, page));

drawCommands(takeKey());
const ticker = drawPublisher();
wires.forEach(drawWire);
document.addEventListener("visibilitychange", followVisibility);
// A page kept for the back button must not keep connections either.
addEventListener("pagehide", release);
addEventListener("pageshow", followVisibility);
followVisibility();

/** The key of `--dev-public`. The server has set its cookie, so it need not stay on display. */
function takeKey() {
  const key = new URLSearchParams(location.search).get("key");
  if (key) history.replaceState(null, "", location.pathname);
  return key;
}

function drawCommands(key) {
  const local = /^(localhost|.*\.localhost|127\.[\d.]+|\[::1\])$/.test(location.hostname);
  const header = key || !local ? `-H 'Authorization: Bearer ${key ?? "KEY"}' ` : "";
  byId("key-hint").hidden = local || key !== null;
  showCommand("receive", `curl -N ${header}'${location.origin}/v1/sse?channel=${CHANNEL}'`);
  showCommand("send", `curl -d 'hello' ${header}${location.origin}/v1/channels/${CHANNEL}`);
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(byId(button.dataset.copy), button));
  }
}

/** On a phone a long address breaks after a slash; a `wbr` is not part of the copied text. */
function showCommand(id, line) {
  const pieces = line.split(/(?<=\w\/)/);
  byId(id).replaceChildren(...pieces.flatMap((piece) => [piece, document.createElement("wbr")]));
}

async function copy(code, button) {
  getSelection().selectAllChildren(code);
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    // Plain HTTP on a network address has no clipboard interface; the selection can be copied.
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 2_000);
}

function drawPublisher() {
  const report = (text) => (byId("published").textContent = text);
  const wanted = () =>
    !document.hidden && (byId("ticker").checked || wires.some((wire) => wire.state === "cut"));
  const ticker = new Ticker(CHANNEL, page, wanted, report);
  byId("ticker").addEventListener("change", () => ticker.wake());
  byId("publish").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const { id } = await publish(CHANNEL, byId("message").value, report);
      report(`Published as ${id}`);
    } catch (error) {
      report(error.message);
    }
  });
  return ticker;
}

function drawWire(wire, index) {
  const pane = createPane(byId("pane"), wire, index + 1);
  pane.querySelector(".cut").addEventListener("click", () => ticker.wake());
  byId("panes").append(pane);
}

function release() {
  for (const wire of wires) wire.release();
  document.title = "Bellwire (paused)";
}

function followVisibility() {
  if (document.hidden) return release();
  const resumed = wires.some((wire) => wire.state === "released" && wire.cursor);
  byId("notice").textContent = resumed
    ? "This tab was hidden, so its connections were released. The wires resumed from their cursors."
    : "";
  for (const wire of wires) wire.resume();
  document.title = "Bellwire";
  ticker.wake();
}
