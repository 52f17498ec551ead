"""What comes with a request: a body that is given up at a limit, and the certificate of who sent it.

Decides nothing of what they say.
"""

from cryptography import x509
from fastapi import Request

from host.tls import peer_certificate
from provisioning.errors import ProvisioningError


async def body(request: Request, most: int) -> bytes:
    """Read the body, giving up at the limit: whoever sends it may say any length, or none.

    Raises:
        ProvisioningError: "enrol.size".
    """
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > most:
            raise ProvisioningError("enrol.size", f"got more than {most} bytes")
    return bytes(read)


def certificate(request: Request) -> x509.Certificate | None:
    """Give the client certificate that TLS has verified; None without one."""
    der = peer_certificate(request.scope)
    return None if der is None else x509.load_der_x509_certificate(der)
