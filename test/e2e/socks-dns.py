"""Asks a name server over a SOCKS5 proxy's UDP, with dnspython over PySocks, both as Debian has them.

    socks-dns.py PROXY_PORT SERVER SERVER_PORT NAME ...

Prints what each name resolves to, as one JSON object.
"""

import json
import socket
import sys

import dns.message
import dns.query
import dns.rcode
import socks

proxy_port, server, server_port, *names = sys.argv[1:]
association = socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM)
association.set_proxy(socks.SOCKS5, "127.0.0.1", int(proxy_port))
answers = {}
for name in names:
    question = dns.message.make_query(name, "A")
    reply = dns.query.udp(question, server, port=int(server_port), timeout=5, sock=association)
    records = [record.to_text() for rrset in reply.answer for record in rrset]
    answers[name] = records or dns.rcode.to_text(reply.rcode())
print(json.dumps(answers))
