"""Receives and publishes over TLS and HTTP/2 with programs that nobody here wrote: curl, nghttp,
h2load, Node, and the Python packages `websockets` and `h2`. Called with the URL of a server with
TLS, the file of its certificate, and the URL of a server that takes HTTP/2 without; prints one line
when all of them got what was published, else ends with an error."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events
from websockets.sync.client import connect

SECURE, CERTIFICATE, CLEARTEXT = sys.argv[1:4]
SECONDS = 60
TRUST = ssl.create_default_context(cafile=CERTIFICATE)


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, **more)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def publish(base, channel, text):
    url = f"{base}/v1/channels/{channel}"
    answer = run("curl", "--silent", "--fail-with-body", "--cacert", CERTIFICATE,
                 "--data-binary", text, url)
    return json.loads(answer)["id"]


def curl(base, flag, channel):
    """An event stream over HTTP/2."""
    command = ["curl", "--silent", "--no-buffer", "--include", flag, "--cacert", CERTIFICATE,
               f"{base}/v1/sse?channel={channel}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stream:
        watchdog = threading.Timer(SECONDS, stream.kill)
        watchdog.start()
        said = ""
        for line in stream.stdout:
            said += line
            if line.startswith("event: hello"):
                id = publish(base, channel, f"to curl {flag}")
            if line.startswith("data: ") and f"to curl {flag}" in line:
                break
        watchdog.cancel()
        stream.kill()
    head = said.partition("\n\n")[0].lower()
    assert said.startswith("HTTP/2 200"), said
    assert f"id: {id}" in said, said
    assert "\nconnection:" not in head and "transfer-encoding" not in head, head


def websockets(channel):
    url = SECURE.replace("https", "wss", 1)
    with connect(f"{url}/v1/ws?channel={channel}", ssl=TRUST) as ws:
        assert "hello" in json.loads(ws.recv(timeout=SECONDS))
        id = publish(SECURE, channel, "to websockets")
        assert json.loads(ws.recv(timeout=SECONDS))["id"] == id
        assert ws.ping().wait(SECONDS), "no pong"
        # More than a record, in both directions.
        long = "x" * 100_000
        ws.send(json.dumps({"req": 1, "publish": {"channel": channel, "data": long}}))
        got = [json.loads(ws.recv(timeout=SECONDS)) for _ in range(2)]
        assert any(item.get("data") == long for item in got), "the long one"
        ws.close()
        assert ws.close_code == 1000, ws.close_code


class Connection:
    """One connection of the package `h2`."""

    def __init__(self, base):
        target = urlsplit(base)
        self.authority = target.netloc
        self.scheme = target.scheme
        self.socket = socket.create_connection((target.hostname, target.port), SECONDS)
        if target.scheme == "https":
            context = ssl.create_default_context(cafile=CERTIFICATE)
            context.set_alpn_protocols(["h2"])
            self.socket = context.wrap_socket(self.socket, server_hostname=target.hostname)
            assert self.socket.selected_alpn_protocol() == "h2"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.bodies, self.heads, self.ended = {}, {}, set()
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def ask(self, method, path, body=None):
        stream = self.h2.get_next_available_stream_id()
        headers = [(":method", method), (":path", path), (":scheme", self.scheme),
                   (":authority", self.authority)]
        self.h2.send_headers(stream, headers, end_stream=body is None)
        if body is not None:
            self.h2.send_data(stream, body, end_stream=True)
        self.bodies[stream] = ""
        self.flush()
        return stream

    def until(self, done):
        while not done():
            data = self.socket.recv(65536)
            assert data, "the connection ended"
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    self.heads[event.stream_id] = dict(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    self.bodies[event.stream_id] += event.data.decode()
                    length = event.flow_controlled_length
                    self.h2.acknowledge_received_data(length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self.ended.add(event.stream_id)
                elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    raise SystemExit(f"{event}")
            self.flush()

    def whole(self, stream):
        self.until(lambda: stream in self.ended)
        return self.heads[stream], json.loads(self.bodies[stream])


def python_h2(base, channel):
    """A stream, a held poll and a publish share one connection."""
    connection = Connection(base)
    sse = connection.ask("GET", f"/v1/sse?channel={channel}")
    connection.until(lambda: "event: hello" in connection.bodies[sse])
    _, first = connection.whole(connection.ask("GET", f"/v1/poll?channel={channel}"))
    poll = connection.ask("GET", f"/v1/poll?channel={channel}&cursor={first['cursor']}")
    post = connection.ask("POST", f"/v1/channels/{channel}", b"over h2")
    head, published = connection.whole(post)
    assert head[":status"] == "200", head
    _, polled = connection.whole(poll)
    assert polled["messages"][0]["id"] == published["id"], polled
    connection.until(lambda: published["id"] in connection.bodies[sse])
    assert connection.heads[sse]["content-type"] == "text/event-stream"
    connection.socket.close()


NODE = r"""
const [base, channel, certificate] = process.argv.slice(1);
const http2 = require("node:http2");
const https = require("node:https");
const ca = require("node:fs").readFileSync(certificate);
const until = (stream, text) => new Promise((resolve, reject) => {
  let said = "";
  stream.setEncoding("utf8");
  stream.on("data", (piece) => { said += piece; if (said.includes(text)) resolve(said); });
  stream.on("error", reject);
});
const publish = (text) => new Promise((resolve, reject) => {
  const url = `${base}/v1/channels/${channel}`;
  https.request(url, { ca, method: "POST" }, resolve).on("error", reject).end(text);
});
(async () => {
  const session = http2.connect(base, { ca });
  const stream = session.request({ ":path": `/v1/sse?channel=${channel}` });
  await until(stream, "event: hello");
  const plain = await new Promise((resolve) =>
    https.get(`${base}/v1/sse?channel=${channel}`, { ca }, resolve));
  await until(plain, "event: hello");
  const socket = new WebSocket(`${base.replace("https", "wss")}/v1/ws?channel=${channel}`);
  const heard = new Promise((resolve, reject) => {
    socket.onerror = (event) => reject(event.error ?? new Error("WebSocket"));
    socket.onmessage = ({ data }) => { if (data.includes("to node")) resolve(); };
  });
  await new Promise((resolve) => { socket.onopen = resolve; });
  const all = [until(stream, "to node"), until(plain, "to node"), heard];
  await publish("to node");
  await Promise.all(all);
  console.log("received");
  process.exit(0);
})();
"""


def node(channel):
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": CERTIFICATE}
    said = run("node", "--experimental-websocket", "--no-warnings", "-e", NODE, SECURE, channel,
               CERTIFICATE, env=environment)
    assert said == "received\n", said


def nghttp():
    said = run("nghttp", "--no-verify-peer", "--stat", f"{SECURE}/livez", f"{SECURE}/readyz")
    assert said.startswith("ok\n"), said
    for base in (SECURE, CLEARTEXT):
        said = run("h2load", "-n", "2000", "-c", "10", "-m", "20", f"{base}/livez")
        assert "2000 succeeded, 0 failed" in said, said


def main():
    curl(SECURE, "--http2", "a")
    curl(CLEARTEXT, "--http2-prior-knowledge", "b")
    websockets("c")
    python_h2(SECURE, "d")
    python_h2(CLEARTEXT, "e")
    node("f")
    nghttp()
    print("served curl, websockets, h2, node, nghttp, h2load")


main()
