# SPDX-License-Identifier: Apache-2.0
"""client.py ADDRESS: sets and gets a value by memcached's text protocol."""

import socket
import sys

with socket.create_connection((sys.argv[1], 11211), timeout=20) as server:
    lines = server.makefile("rw", newline="\r\n")
    print("set wolf 0 0 6\nlupine", file=lines, flush=True)
    assert lines.readline() == "STORED\r\n"
    print("get wolf", file=lines, flush=True)
    assert lines.readline() == "VALUE wolf 0 6\r\n"
    print(f"wolf={lines.readline().strip()}")
