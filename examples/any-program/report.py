"""Fetches a URL with the standard library, which knows nothing of ipshard: with-egress.sh tells it where to go."""

import sys
import urllib.request

with urllib.request.urlopen(sys.argv[1]) as answer:
    print(answer.read().decode())
