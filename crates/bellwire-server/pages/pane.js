// Draws one wire: its transport, state, counters and last messages, and the button that cuts it.
// Made by `start.js`; reads the wire and never touches a connection.

import { CROWDED, TRANSPORTS } from "./wires.js";

/** Messages kept on screen; narrow screens show fewer of them. */
const SHOWN = 8;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Draws `wire` into a copy of `template`; `number` tells it from others on the same transport.
 * @param {HTMLTemplateElement} template
 * @param {import("./wires.js").Wire} wire
 * @param {number} number
 * @returns {HTMLElement} the pane, not yet in the document
 */
export function createPane(template, wire, number) {
  const pane = template.content.firstElementChild.cloneNode(true);
  const part = (name) => pane.querySelector(`.${name}`);
  const rows = [];
  let scheduled = false;

  // A burst is drawn once per frame, and a text is set only when it differs, so that a screen
  // reader hears each state once.
  const say = (name, text) => {
    if (part(name).textContent !== text) part(name).textContent = text;
  };
  const draw = () => {
    scheduled = false;
    pane.dataset.state = wire.state;
    pane.dataset.transport = wire.transport;
    say("name", TRANSPORTS[wire.transport].name);
    pane.setAttribute("aria-label", `Wire ${number}: ${TRANSPORTS[wire.transport].name}`);
    say("path", `GET ${TRANSPORTS[wire.transport].path}?channel=${wire.channel}`);
    say("state", stateText(wire));
    say("received", String(wire.received));
    say("replayed", String(wire.replayed));
    say("lost", lostText(wire));
    part("lost").classList.toggle("bad", lostText(wire) !== "0");
    say("back", backText(wire));
    // Before it knows where it stands, a wire that is cut would miss something and not know of it.
    part("cut").disabled = !wire.cursor || wire.state === "cut" || wire.state === "released";
    part("messages").replaceChildren(...rows);
  };

  wire.onchange = () => {
    if (!scheduled) requestAnimationFrame(draw);
    scheduled = true;
  };
  wire.onmessage = (envelope, replayed) => {
    rows.unshift(createRow(envelope, replayed));
    rows.length = Math.min(rows.length, SHOWN);
    if (!calm.matches) part("wire").animate({ opacity: [0.25, 1] }, { duration: 400 });
  };
  part("cut").addEventListener("click", () => wire.cut());
  draw();
  return pane;
}

function stateText(wire) {
  switch (wire.state) {
    case "live": return "Live";
    case "cut": return `Cut. Back on ${TRANSPORTS[wire.coming].name} in three seconds.`;
    case "crowded": return CROWDED;
    case "retrying": return `Trying again: ${wire.detail}.`;
    case "released": return "Connection released while this tab is hidden.";
    case "ended": return `Ended: ${wire.detail}.`;
    default: return "Connecting";
  }
}

function backText({ state, back }) {
  if (state !== "live" || back === null) return "";
  const repeated = back.repeated > 0 ? `, repeated ${back.repeated}` : "";
  const gap = back.gap ? ` (gap: ${back.gap})` : "";
  const counts = `replayed ${back.replayed}, lost ${lostText(back)}`;
  return `Back on ${TRANSPORTS[back.transport].name}: ${counts}${repeated}${gap}`;
}

/** A gap does not say how many it swallowed; the numbered messages give a lower bound. */
function lostText({ lost, gap }) {
  if (gap === null) return String(lost);
  return lost > 0 ? `${lost}+` : "some";
}

function createRow({ data, event, time }, replayed) {
  const row = document.createElement("li");
  const clock = document.createElement("time");
  clock.dateTime = new Date(time).toISOString();
  clock.textContent = new Date(time).toTimeString().slice(0, 8);
  const text = document.createElement("span");
  const payload = data instanceof Uint8Array ? `binary, ${data.length} bytes` : dataText(data);
  text.textContent = event ? `${event}: ${payload}` : payload;
  row.append(clock, text);
  row.classList.toggle("tick", data?.tick !== undefined);
  if (replayed) {
    const mark = document.createElement("em");
    mark.textContent = "replayed";
    row.append(mark);
  }
  return row;
}

function dataText(data) {
  if (typeof data === "string") return data;
  return data?.tick === undefined ? JSON.stringify(data) : `number ${data.tick}`;
}
