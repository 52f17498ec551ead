"""Opens TLS connections for net.py; in memory only meanwhile.

asyncio.open_connection leaks the socket when it is cancelled and its connect has no error of its own; so the socket is opened
here. The peer's chain and name are always verified (tls.SSLContext, not ssl.SSLContext, which verifies nothing).
"""

import asyncio
import errno
import gc
import hashlib
import select
import socket

import tls

CONNECT_POLL_MS = 20   # a connection takes longer than this on any radio


def ask(host):
    """The address of a name, as text, from the chip's resolver; blocks."""
    return _sockaddr(host, 1)[0]   # lwIP knows no port 0


async def open(host, address, port, context):
    """A secured socket, its handshake still to come with the first bytes."""
    gc.collect()   # TLS takes buffers of 17 KB and 4 KB in one piece each
    peer = _sockaddr(address, port)
    raw = socket.socket()
    try:
        raw.setblocking(False)
        await _connect(raw, peer)
        return context.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False)
    except BaseException:   # a cancelled connection too must not keep its socket
        raw.close()
        raise


def context(contexts, files, paths, mutual):
    """What trusts our CA alone, and shows our certificate if `mutual`.

    Args:
        contexts: where the last one is kept, by the hash of our certificate or None: a renewed certificate takes a new one.
        paths: of CA, certificate and key, as DER.
    """
    cert = files.read(paths[1]) if mutual else None
    name = cert and hashlib.sha256(cert).digest()
    if name not in contexts:
        made = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        made.verify_mode = tls.CERT_REQUIRED
        made.load_verify_locations(files.read(paths[0]) or b"")
        if cert is not None:
            made.load_cert_chain(cert, files.read(paths[2]) or b"")
        contexts.clear()   # one at a time: each holds its keys in memory
        contexts[name] = made
    return contexts[name]


def _sockaddr(host, port):
    return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0][-1]


async def _connect(raw, peer):
    """Wait for a non-blocking connect; the caller holds the deadline."""
    try:
        raw.connect(peer)
    except OSError as error:
        if error.errno != errno.EINPROGRESS:
            raise
    poll = select.poll()
    poll.register(raw, select.POLLOUT)
    while True:
        events = poll.poll(0)
        if events:
            if events[0][1] & (select.POLLERR | select.POLLHUP):
                raise OSError(errno.ECONNREFUSED)
            return
        await asyncio.sleep(CONNECT_POLL_MS / 1000)
