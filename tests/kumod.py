# SPDX-License-Identifier: MIT
"""What of KumoMTA talks to its automation daemon, as it is documented: log records by POST, shaping.toml laid
over its own, suspensions by WebSocket. Not the real program; for tests that have to do without it."""
import base64
import hashlib
import http.client
import json
import os
import re
import socket
import struct
import time
import tomllib

SECONDS = {"s": 1, "min": 60, "hr": 3600, "d": 86400}


class Kumod:
    """One that publishes and reads its configuration, over one connection that is kept."""

    def __init__(self, port):
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, method, path, body=None):
        for _ in range(2):  # a connection that has been idle may be gone
            try:
                self.http.request(method, path, body, {"Content-Type": "application/json"})
                answer = self.http.getresponse()
                return answer.status, answer.read()
            except (ConnectionError, http.client.BadStatusLine):
                self.http.close()
        raise AssertionError("no answer")

    def publish(self, record):
        status, _ = self.ask("POST", "/publish_log_v1", record if isinstance(record, bytes) else json.dumps(record))
        assert status // 100 == 2, f"{status}: the record would come again for ever"

    def shaping(self):
        """The file as TOML; it must be such, and what of it the peer would refuse to load is an error here."""
        status, text = self.ask("GET", "/get_config_v1/shaping.toml")
        assert status == 200, (status, text)
        data = tomllib.loads(text.decode())
        automation = data["default"]["automation"][0]
        assert automation == {"regex": ".", "action": [], "duration": "1s", "match_internal": True}, automation
        for name, section in [*data.items(), *data.get("provider", {}).items()]:
            if name in ("default", "provider"):
                continue
            if "match" in section:
                assert section["match"] and all(len(match) == 1 and next(iter(match)) in ("MXSuffix", "HostName")
                                                for match in section["match"]), section
            else:
                assert section["mx_rollup"] is True and "." in name, (name, section)
            for values in section["sources"].values():
                assert set(values) <= {"additional_message_rate_throttles", "additional_connection_limits",
                                       "max_deliveries_per_connection"}, values
                for spec in values["additional_message_rate_throttles"].values():
                    Throttle(spec)
        return data


class Throttle:
    """"60/min,max_burst=5" as the peer counts it: a cell each interval, of which max_burst may be ahead."""

    def __init__(self, spec):
        found = re.fullmatch(r"(\d+)/(\d*)(s|min|hr|d),max_burst=(\d+)", spec)
        assert found and int(found[1]) > 0 and int(found[4]) > 0, spec
        self.interval = int(found[2] or 1) * SECONDS[found[3]] / int(found[1])
        self.ahead = self.interval * int(found[4])
        self.next = 0.0

    def take(self, now):
        due = max(self.next, now)
        if due - now > self.ahead - self.interval + 1e-9:
            return False
        self.next = due + self.interval
        return True


def record(kind, recipient, code, content, source="ip-1", address="192.0.2.10", mx="mx.example.net", site=None, **more):
    """A log record as KumoMTA publishes it."""
    found = re.match(r"(\d)\.(\d+)\.(\d+) ", content)
    return {"type": kind, "id": os.urandom(16).hex(), "sender": "bounce@example.com", "recipient": recipient,
            "queue": f"news:tenant@{recipient.rpartition('@')[2]}", "site": site or f"{source}->({mx})@smtp_client", "size": 1000,
            "response": {"code": code, "enhanced_code": {"class": int(found[1]), "subject": int(found[2]), "detail": int(found[3])}
                         if found else None, "content": content[found.end():] if found else content, "command": ".\r\n"},
            "peer_address": {"name": f"{mx}.", "addr": "198.51.100.7"}, "timestamp": int(time.time()),
            "event_time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + "Z", "created": int(time.time()), "num_attempts": 1,
            "egress_pool": "pool0", "egress_source": source, "source_address": {"address": f"{address}:35252"},
            "delivery_protocol": "ESMTP", **more}


class Subscriber:
    """The peer's end of a WebSocket. Answers pings."""

    def __init__(self, port, path="/subscribe_event_v1", headers=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        key = base64.b64encode(os.urandom(16)).decode()
        asked = {"Host": "127.0.0.1", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key,
                 "Sec-WebSocket-Version": "13", **(headers or {})}
        self.socket.sendall((f"GET {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in asked.items() if v is not None)
                             + "\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            got = self.socket.recv(1)
            if not got:
                break
            head += got
        self.status = int(head.split()[1]) if head else 0
        if self.status == 101:
            wanted = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
            assert wanted in head, head

    def whole(self, length):
        text = b""
        while len(text) < length:
            got = self.socket.recv(length - len(text))
            if not got:
                raise EOFError
            text += got
        return text

    def frame(self):
        """(opcode, payload); EOFError: closed."""
        first, second = self.whole(2)
        assert first & 0x80 and not second & 0x80, "a server's frame is whole and not masked"
        length = second
        if length == 126:
            (length,) = struct.unpack(">H", self.whole(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self.whole(8))
        return first & 15, self.whole(length)

    def send(self, opcode, payload=b"", fin=True, mask=True):
        head = bytes([(0x80 if fin else 0) | opcode])
        size = len(payload)
        head += bytes([(0x80 if mask else 0) | size]) if size < 126 else bytes([(0x80 if mask else 0) | 126]) + struct.pack(">H", size)
        key = os.urandom(4)
        if mask:
            payload = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
        self.socket.sendall(head + (key if mask else b"") + payload)

    def event(self, timeout=60):
        """The next text as JSON; None: nothing came in that time."""
        self.socket.settimeout(timeout)
        try:
            while True:
                opcode, payload = self.frame()
                if opcode == 9:
                    self.send(10, payload)
                elif opcode == 8:
                    raise EOFError
                elif opcode == 1:
                    return json.loads(payload)
        except TimeoutError:
            return None

    def close(self):
        self.socket.close()
