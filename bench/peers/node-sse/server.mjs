// The peer "node SSE": EventSource with what node has, as its users write it: server.mjs PORT.
import http from "node:http";
import { answerPublisher, Channels, envelope, serve, wanted } from "../plain.mjs";

const channels = new Channels();

function subscribe(request, response) {
  const channel = wanted(request);
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  response.write(": hello\n\n");
  channels.join(channel, response);
  response.on("close", () => channels.leave(channel, response));
}

function publish(channel, payload) {
  const { id, text } = envelope(channel, payload);
  const event = Buffer.from(`id: ${id}\ndata: ${text}\n\n`);
  for (const response of channels.of(channel)) response.write(event);
}

const server = http.createServer((request, response) => {
  if (request.url.startsWith("/v1/sse?")) subscribe(request, response);
  else answerPublisher(request, response, publish);
});
serve(server, Number(process.argv[2]));
