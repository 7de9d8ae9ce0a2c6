# SPDX-License-Identifier: Apache-2.0
"""client.py ADDRESS: sends a message through a queue and gets it back (Debian's python3-pika)."""

import sys

import pika

connection = pika.BlockingConnection(pika.ConnectionParameters(sys.argv[1], socket_timeout=60, stack_timeout=120))
channel = connection.channel()
channel.queue_declare("wolf")
channel.basic_publish("", "wolf", b"lupine")
_, _, body = channel.basic_get("wolf", auto_ack=True)
print(f"wolf: {body.decode()}")
connection.close()
