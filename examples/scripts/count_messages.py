"""Numbers the lines that come through a relay, and counts datagrams: for protocols that are not HTTP.

    [[script]]
    file = "count_messages.py"
    listeners = ["lines"]          # the name of a relay

A piece of TCP is what was read at once: lines may be cut anywhere, so their beginnings are kept until the end comes.
"""

import interpose
from interpose import Exchange, Message, Pass, PerExchange


class Lines:
    def __init__(self) -> None:
        self.rest = b""
        self.number = 0


lines = PerExchange(Lines)
datagrams = {True: 0, False: 0}


@interpose.messages
async def number_lines(exchange: Exchange, message: Message, forward: Pass) -> None:
    if message.kind == "datagram":
        datagrams[message.inbound] += 1
        await forward(message.with_data(b"%d %b" % (datagrams[message.inbound], message.data)))
    elif message.inbound:
        seen = lines.of(exchange)
        *whole, seen.rest = (seen.rest + message.data).split(b"\n")
        for line in whole:
            seen.number += 1
            await forward(message.with_data(b"%d %b\n" % (seen.number, line)))
    else:
        await forward(message)
