"""Receives with programs that nobody here wrote: curl, the `websockets` package and the standard
library. Called with the URL of a server in development mode; prints one line when all of them
got what `curl -d` published, else ends with an error."""

import json
import subprocess
import sys
import threading
import urllib.request

from websockets.sync.client import connect

BASE = sys.argv[1]
CHANNEL = "interop"
TEXT = "from curl: \u00e4 \u20ac \U0001f514"
SECONDS = 60


def event(lines):
    """The fields of the next event of a stream."""
    fields = {}
    for line in lines:
        line = line.decode().rstrip("\n")
        if line == "" and fields:
            return fields
        name, _, value = line.partition(":")
        if name:
            fields[name] = value.removeprefix(" ")
    raise SystemExit("the event stream ended")


def get(path):
    with urllib.request.urlopen(BASE + path, timeout=SECONDS) as answer:
        return json.load(answer)


def publish(text):
    command = ["curl", "--silent", "--show-error", "--fail-with-body", "--data-binary", "@-"]
    url = f"{BASE}/v1/channels/{CHANNEL}"
    done = subprocess.run(command + [url], input=text.encode(), capture_output=True, check=True)
    return json.loads(done.stdout)["id"]


def main():
    stream = ["curl", "--silent", "--no-buffer", f"{BASE}/v1/sse?channel={CHANNEL}"]
    websocket = f"{BASE.replace('http', 'ws', 1)}/v1/ws?channel={CHANNEL}"
    got = {}
    with subprocess.Popen(stream, stdout=subprocess.PIPE) as curl, connect(websocket) as ws:
        # A stream that says nothing is ended, which ends the wait for its next line.
        watchdog = threading.Timer(SECONDS, curl.kill)
        watchdog.start()
        assert event(curl.stdout)["event"] == "hello"
        assert "hello" in json.loads(ws.recv(timeout=SECONDS))
        cursor = get(f"/v1/poll?channel={CHANNEL}")["cursor"]
        held = threading.Thread(
            target=lambda: got.update(poll=get(f"/v1/poll?channel={CHANNEL}&cursor={cursor}"))
        )
        held.start()

        id = publish(TEXT)

        got["curl"] = json.loads(event(curl.stdout)["data"])
        got["websockets"] = json.loads(ws.recv(timeout=SECONDS))
        held.join()
        [got["poll"]] = got["poll"]["messages"]
        for receiver, envelope in got.items():
            assert (envelope["id"], envelope["data"]) == (id, TEXT), (receiver, envelope)

        assert ws.ping().wait(SECONDS), "no pong"
        ws.send(json.dumps({"req": 1, "publish": {"channel": CHANNEL, "data": [1, 2]}}))
        assert json.loads(ws.recv(timeout=SECONDS))["req"] == 1
        assert json.loads(event(curl.stdout)["data"])["data"] == [1, 2]
        ws.close()
        assert ws.close_code == 1000, ws.close_code
        watchdog.cancel()
        curl.kill()
    print("received by", ", ".join(sorted(got)))


main()
