# SPDX-License-Identifier: MIT
"""A port for a server that is started later, and perhaps again and again."""
import pathlib
import random
import socket


def free_port():
    """One that nobody listens on. The kernel gives it to no connection, so it is still free when its owner returns."""
    first, last = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    others = [port for port in range(1024, 65536) if not first <= port <= last]
    for port in random.sample(others, len(others)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise AssertionError(f"no port is free outside {first} to {last}")
