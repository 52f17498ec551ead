"""One question by SNTP (RFC 4330, RFC 5905), the same on every board with a network.

One datagram out, one in, without blocking; only the server's name may block in DNS. An answer is not authenticated: it must echo
the random number that was sent, and node.agent.clock decides what it may move. Sets nothing itself.
"""

import asyncio
import errno
import socket
import time

PACKET_BYTES = 48       # without extensions and authentication (RFC 5905, 7.3)
DEADLINE_MS = 2000      # a farther server's word would be out by up to a second
POLL_MS = 10
MODE_CLIENT = 0x23      # no leap warning, version 4, client
UNIX_AT_1900_S = 2_208_988_800   # seconds from 1900 to 1970
ERA_S = 1 << 32         # NTP's seconds start again from 0 on 2036-02-07


class Kissed(ValueError):
    """The server asks us not to come back (RFC 5905, 7.4)."""


async def ask(host, port, nonce):
    """Ask a server once.

    Args:
        nonce: eight random bytes, sent in place of our own time, which is nobody's business.

    Returns:
        Unix milliseconds, now.

    Raises:
        OSError: no address, no route, no answer in DEADLINE_MS. Kissed.
    """
    address = socket.getaddrinfo(host, port, 0, socket.SOCK_DGRAM)[0][-1]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        udp.setblocking(False)
        udp.connect(address)   # the stack drops what other addresses send
        udp.send(bytes([MODE_CLIENT]) + bytes(PACKET_BYTES - 1 - len(nonce)) + nonce)
        sent_ms = time.ticks_ms()
        while True:
            await asyncio.sleep(POLL_MS / 1000)
            past_ms = time.ticks_diff(time.ticks_ms(), sent_ms)
            try:
                received_ms, transmitted_ms = parse(udp.recv(PACKET_BYTES + 1), nonce)
                return transmitted_ms + max(past_ms - max(transmitted_ms - received_ms, 0), 0) // 2
            except Kissed:
                raise
            except (OSError, ValueError):   # nothing yet, or not for us: a forged datagram must not end the wait
                if past_ms >= DEADLINE_MS:
                    raise OSError(errno.ETIMEDOUT)
    finally:
        udp.close()


def parse(raw, nonce):
    """Check an answer.

    Returns:
        Unix ms at which the server received our datagram, and at which it sent the answer.

    Raises:
        Kissed. ValueError: it is no answer to our question, or from a server that does not know the time.
    """
    if len(raw) != PACKET_BYTES or raw[0] & 7 != 4 or raw[24:32] != nonce:
        raise ValueError("no answer")
    if raw[1] == 0:
        raise Kissed(raw[12:16])
    if raw[0] >> 6 == 3 or raw[1] > 15 or raw[40:48] == bytes(8):
        raise ValueError("not synchronised")
    return _unix_ms(raw[32:40]), _unix_ms(raw[40:48])


def _unix_ms(stamp):
    """Of an NTP timestamp; one whose top bit is clear is of the era that begins in 2036 (RFC 4330, 3)."""
    seconds = int.from_bytes(stamp[:4], "big")
    if not stamp[0] & 0x80:
        seconds += ERA_S
    return (seconds - UNIX_AT_1900_S) * 1000 + (int.from_bytes(stamp[4:], "big") * 1000 >> 32)
