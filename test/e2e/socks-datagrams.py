"""A client of SOCKS5's UDP ASSOCIATE that is not ours: PySocks, as Debian has it.

It can say no more than 127 bytes as a user name or a password, so it comes without: by its source.

Reads one JSON object from its first argument:

    proxy         [host, port]
    associations  how many, all of them open until all have done
    destinations  [[host, port], ...]: each association asks each of them
    rounds        how often
    payload_bytes how much is sent each time

and prints, for each association, what each question was answered: [source host, source port, text].
A question that is not answered in time is asked again, as UDP has it, and then answered with null.
"""

import json
import socket
import sys

import socks

asked = json.loads(sys.argv[1])
TRIES = 5


def ask(association, destination, text):
    association.settimeout(1)
    for _ in range(TRIES):
        association.sendto(text.ljust(asked["payload_bytes"], ".").encode(), tuple(destination))
        try:
            while True:
                payload, source = association.recvfrom(65536)
                answer = payload.decode().rstrip(".")
                if answer.endswith(text):
                    return [source[0], source[1], answer]
        except socket.timeout:
            pass
    return None


associations = []
for _ in range(asked["associations"]):
    association = socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM)
    host, port = asked["proxy"]
    association.set_proxy(socks.SOCKS5, host, port)
    associations.append(association)
print(
    json.dumps(
        [
            [
                ask(association, destination, f"{at}-{turn}-{destination[1]}")
                for turn in range(asked["rounds"])
                for destination in asked["destinations"]
            ]
            for at, association in enumerate(associations)
        ]
    )
)
