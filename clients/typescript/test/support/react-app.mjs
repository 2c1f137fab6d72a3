// A page of the React test, bundled by it: a room, its messages, and a button that unmounts it.

import { createElement as h, StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

import { bellwire } from "../../dist/index.js";
import { useChannel, useConnection } from "../../dist/react.js";

function Room({ live, name }) {
  const { messages, gap, publish } = useChannel(live, name, { keep: 3 });
  return h("section", null,
    h("ul", null, messages.map(({ id, data }) => h("li", { key: id }, String(data)))),
    h("p", { id: "gap" }, gap ? gap.reason : "none"),
    h("button", { id: "say", onClick: () => void publish("from react") }, "Say"));
}

function App({ live }) {
  const { current } = useConnection(live);
  const [name, setName] = useState("room");
  return h("main", null,
    h("p", { id: "state" }, current),
    h("button", { id: "other", onClick: () => setName("other") }, "Other"),
    h("button", { id: "none", onClick: () => setName("") }, "None"),
    name && h(Room, { live, name }));
}

globalThis.start = (origin) => {
  const root = document.body.appendChild(document.createElement("div"));
  createRoot(root).render(h(StrictMode, null, h(App, { live: bellwire(origin) })));
};
