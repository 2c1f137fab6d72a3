// The peer "node ws": WebSocket with the package `ws`, as its users write it: server.mjs PORT.
import http from "node:http";
import { WebSocketServer } from "ws";
import { answerPublisher, Channels, envelope, serve, wanted } from "../plain.mjs";

const channels = new Channels();

function publish(channel, payload) {
  // As bytes, so that the text is encoded once and not for each socket.
  const message = Buffer.from(envelope(channel, payload).text);
  for (const socket of channels.of(channel)) socket.send(message, { binary: false });
}

const server = http.createServer((request, response) => {
  answerPublisher(request, response, publish);
});
const sockets = new WebSocketServer({
  server,
  path: "/v1/ws",
  perMessageDeflate: false,
  clientTracking: false,
  maxPayload: 16 * 1024,
});
sockets.on("connection", (socket, request) => {
  const channel = wanted(request);
  channels.join(channel, socket);
  socket.on("close", () => channels.leave(channel, socket));
  socket.send("hello");
});
serve(server, Number(process.argv[2]));
