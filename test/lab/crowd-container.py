"""Connections of a container, many at once towards one destination, by Python's own client.

    python3 crowd-container.py ADDRESS PORT COUNT PER_SECOND

Opens so many at this rate, and asks in each for an answer that comes when the origin is told to give it. Says `sent` when
all have been begun, and at the end, when all are answered or have failed, a line of JSON:

    right      answers with what was asked in this connection
    addresses  by which the origin saw them
    faults     what became of the others, by name
"""

import asyncio
import collections
import json
import sys

address, port, count, per_second = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
right = 0
addresses = set()
faults = collections.Counter()


async def call(number):
    global right
    try:
        reader, writer = await asyncio.open_connection(address, port)
        writer.write(f"GET /hold?nonce={number} HTTP/1.1\r\nhost: origin\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        seen = json.loads(await reader.readline())
        writer.close()
    except OSError as fault:
        faults[type(fault).__name__] += 1
        return
    except asyncio.IncompleteReadError:
        faults["ended early"] += 1
        return
    addresses.add(seen["address"])
    if seen["nonce"] == str(number):
        right += 1
    else:
        faults["answer of another"] += 1


async def main():
    loop = asyncio.get_running_loop()
    begin = loop.time()
    calls = []
    for number in range(count):
        calls.append(asyncio.create_task(call(number)))
        due = begin + number / per_second
        # Others have their turn even when it is late.
        await asyncio.sleep(max(0, due - loop.time()))
    print("sent", flush=True)
    await asyncio.gather(*calls)
    print(json.dumps({"right": right, "addresses": sorted(addresses), "faults": faults}), flush=True)


asyncio.run(main())
