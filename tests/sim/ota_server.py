"""An update server in memory, for the update's tests on CPython and on MicroPython.

Signs with real keys and answers through the interface of node.agent.http.HttpClient; its faults are attributes that a test sets.
"""

from node.agent.http import Response
from node.compat import hexstr, sha256
from node.errors import NetworkError, PeerError
from node.wire import checkin, direction, signed
from tests.sim.releases import ONLINE, sign

NOW_S = 1_800_000_000


class OtaServer:
    """Stands where HttpClient stands. Faults are switched on by attributes.

    Attributes:
        offer: the Release to direct devices to, or None. Directions stop when the device reports it.
        patient: go on offering after a device has told of a failure.
        break_after: bytes of an artifact after which the connection breaks, or None.
        status, headers: answer everything with this instead, unless status is None.
        status_after_checkin: becomes `status` once a check-in has been answered.
        asked: (method, path, offset) of every request. requests: parsed check-ins.
    """

    def __init__(self, *releases):
        self.releases = list(releases)
        self.roots = {}
        self.offer = None
        self.patient = True
        self.online = ONLINE
        self.period_s = 60
        self.expires_s = NOW_S + 3600
        self.break_after = None
        self.status = None
        self.status_after_checkin = None
        self.headers = {}
        self.error = None
        self.piece_bytes = 500
        self.on_piece = None
        self.corrupt_at = None
        self.spoil = {}   # values of the next directions that replace the right ones
        self.asked = []
        self.requests = []

    async def request(self, method, path, body=b"", *, content_type="application/json", headers=(), cap=8192):
        self.asked.append((method, path, 0))
        if self.error is not None:
            raise self.error
        if self.status is not None:
            return Response(self.status, self.headers, b"")
        found = self._checkin(body) if path == "/v1/checkin" else self._stored(path)
        if found is None:
            return Response(404, {}, b"")
        if len(found) > cap:
            raise PeerError("http.length", f"got {len(found)}, expected at most {cap}")
        return Response(200, {}, found)

    async def download(self, path, offset, sink, cap):
        self.asked.append(("GET", path, offset))
        if self.error is not None:
            raise self.error
        if self.status is not None:
            return Response(self.status, self.headers, b"")
        contents = [(release.artifact_sha, release.artifact) for release in self.releases]
        contents += [(release.image_sha, release.image) for release in self.releases if release.image]
        contents += [(hexstr(sha256(delta)), delta) for release in self.releases for delta in release.deltas]
        data = next(data for sha, data in contents if path == "/v1/artifacts/" + sha)
        if self.corrupt_at is not None:
            data = data[:self.corrupt_at] + bytes([data[self.corrupt_at] ^ 1]) + data[self.corrupt_at + 1:]
        sent = 0
        for at in range(offset, len(data), self.piece_bytes):
            if self.break_after is not None and sent >= self.break_after:
                raise NetworkError("http.short", f"closed with {len(data) - at} bytes to come")
            piece = data[at:at + self.piece_bytes]
            if self.on_piece is not None:
                self.on_piece()
            sink(piece)
            sent += len(piece)
        return Response(206 if offset else 200, {}, b"")

    def direct(self, request, release):
        """A direction to `release` that answers a parsed check-in."""
        values = {"device": request["device"], "nonce": request["nonce"], "seq": request["seq"] + 1, "manifest": release.sha,
                  "issued": NOW_S, "expires": self.expires_s}
        values.update(self.spoil)
        return sign(signed.DIRECTION, direction.build(**values), self.online)

    def _checkin(self, body):
        request = checkin.parse_request(body)
        self.requests.append(request)
        self.status = self.status_after_checkin
        if request["failed"] is not None and not self.patient:
            self.offer = None
        wanted = self.offer is not None and request["manifest"] != self.offer.sha and not request["trial"]
        return checkin.encode_response({
            "now_s": NOW_S, "period_s": self.period_s, "direction": self.direct(request, self.offer) if wanted else None,
            "reason": "test",
        })

    def _stored(self, path):
        if path.startswith("/v1/roots/"):
            return self.roots.get(int(path[10:]))
        found = [release.envelope for release in self.releases if path == "/v1/manifests/" + release.sha]
        return found[0] if found else None
