// A shop whose pages hear of their user's orders at once. Express; Bellwire pushes.

import { randomUUID } from "node:crypto";

import cookieSession from "cookie-session";
import express from "express";
import jwt from "jsonwebtoken";

const { BELLWIRE_URL, BELLWIRE_SECRET, BELLWIRE_KEY, SESSION_SECRET, PORT = "3000" } = process.env;
const app = express();
app.use(express.urlencoded());
app.use(cookieSession({ secret: SESSION_SECRET, sameSite: "lax" }));

/** Stands for your database. */
const orders = [];
const commit = async (order) => void orders.push(order);

/** Tells a user's pages something. Safe to repeat: the key makes it one message. */
async function publish(user, event, data) {
  const response = await fetch(`${BELLWIRE_URL}/v1/users/${encodeURIComponent(user)}?event=${event}`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${BELLWIRE_KEY}`,
      "content-type": "application/json",
      "idempotency-key": data.id,
    },
    body: JSON.stringify(data),
    signal: AbortSignal.timeout(2_000),
  });
  if (!response.ok) throw new Error(`not published: ${response.status} ${await response.text()}`);
}

const signedIn = (request, response, next) => (request.session.user ? next() : response.sendStatus(401));

app.get("/", (request, response) => response.sendFile("page.html", { root: new URL("..", import.meta.url).pathname }));

app.post("/login", (request, response) => {
  // Your own way to find out who it is belongs here.
  request.session.user = request.body.user;
  response.sendStatus(204);
});

app.get("/push-token", signedIn, (request, response) => {
  const token = jwt.sign({ sub: request.session.user }, BELLWIRE_SECRET, { expiresIn: "10m" });
  response.json({ server: BELLWIRE_URL, token });
});

app.post("/orders", signedIn, async (request, response) => {
  const order = { id: randomUUID(), item: request.body.item };
  await commit({ user: request.session.user, ...order });
  // Only now: nobody may hear of an order that was rolled back. A push that fails fails no order.
  await publish(request.session.user, "ordered", order).catch(console.error);
  response.status(201).json(order);
});

app.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${PORT}/`));
