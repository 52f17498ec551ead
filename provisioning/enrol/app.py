"""Enrolment over Secure Transport (RFC 7030, errata in RFC 8951): the HTTP face of service.py; and stations' door to the ledger.

Decides statuses, headers and encodings. A refusal is JSON `{"code", "message"}`: 202 come again (an operator must speak, or
others are served first), 400 the request is malformed, 401 a client certificate is missing, 403 refused by the rules, 413 too
large, 429 too many, 503 the CA's key is out of reach. EST's answers are one line of base64, since clients exist that cannot
read more (strongSwan's pki).
"""

import asyncio
import base64
import datetime as dt
import logging
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError

from host.broker import BrokerError
from host.db import open_engine
from host.tls import common_name
from ota.release import keys
from ota.release.keys import KeyFileError
from provisioning import ca, pki
from provisioning.attempts import Attempts
from provisioning.crl import Publisher, Targets
from provisioning.enrol import received
from provisioning.enrol.recorder import Recorder
from provisioning.enrol.requests import MAX_BODY_BYTES, parse_request
from provisioning.enrol.service import Enrolment, Peer
from provisioning.enrol.settings import EnrolSettings
from provisioning.enrol.station_api import station_router
from provisioning.enrol.stations import Stations
from provisioning.errors import ProvisioningError
from provisioning.ledger import Ledger, other_key

log = logging.getLogger(__name__)

PREFIX = "/.well-known/est"
CRL_PATH = "/crl/issuing.crl"
THREADS = 4           # requests that are judged and signed at a time: more only get in each other's way, but an HSM takes its time
RETRY_AFTER_S = 3600   # after 429: the window is a day, an hour of it frees some
RETRY_BUSY_S = 10      # after 202 for load, 503, a station's 429: this to twice this, drawn each time, so that nobody is in step
# SEQUENCE { SEQUENCE { id-ecPublicKey, SET { prime256v1 } }, ecdsa-with-SHA256 }: RFC 7030 4.5.2, its example with our curve
_CSR_ATTRIBUTES = bytes.fromhex("3021" "3015" "06072a8648ce3d0201" "310a" "06082a8648ce3d030107" "06082a8648ce3d040302")
_STATUS = {
    "enrol.size": 413, "enrol.encoding": 400, "enrol.csr": 400, "enrol.key": 400, "enrol.proof": 400, "enrol.subject": 400,
    "enrol.no_certificate": 401, "enrol.too_many": 429, "enrol.shelf_life": 202, "enrol.busy": 202, "enrol.key_away": 503,
    "station.busy": 429, "birth.format": 400,
}


def create_app(settings: EnrolSettings) -> FastAPI:
    """Make the application; opens the ledger and reads the CA's files.

    Raises:
        PkiError, KeyFileError, DatabaseError: a file or the database is unusable.
    """
    issuing = pki.load_authority(settings.issuing_cert, settings.issuing_key, keys.passphrase())
    chain = [issuing.certificate, pki.load_certificates(settings.root_cert)[0]]
    engine = open_engine(settings.database, connections=THREADS + 3)
    ledger, attempts = Ledger(engine), Attempts(engine)
    enrolment = Enrolment(ledger, issuing, settings.device_days)
    targets = Targets(settings.crl_files, settings.broker_folder, settings.broker_pid_files, settings.acl_files)
    publisher = Publisher(ledger, issuing, targets, dt.timedelta(days=settings.crl_days))

    under_way, threads = 0, ThreadPoolExecutor(THREADS, "enrol")
    committing = ThreadPoolExecutor(1, "commit")
    recorder = Recorder(ledger.record_certificates, committing)

    async def issue(request: Request, renews: bool) -> Response:
        nonlocal under_way
        body = await received.body(request, MAX_BODY_BYTES)
        if under_way >= settings.max_under_way:   # before anything is computed: that is what there is too much of
            raise ProvisioningError("enrol.busy", f"{under_way} others are served first")
        parsed = parse_request(body)
        work = partial(enrolment.renew, peer=_peer(request)) if renews else enrolment.enrol
        under_way += 1
        try:
            issued = await asyncio.get_running_loop().run_in_executor(threads, partial(work, parsed, now=_now()))
            if not await recorder.record(issued.entry):
                raise other_key(parsed.device)
            log.info("issued %s to %s until %s", issued.entry.serial, parsed.device,
                     issued.certificate.not_valid_after_utc.date())
            return _certs_only([issued.certificate])
        except ProvisioningError as error:
            host = request.client.host if request.client else ""
            await run_in_threadpool(attempts.note, parsed.device, error.code, host, int(_now().timestamp()))
            raise
        except KeyFileError as error:   # nothing was issued; the log has the reason, a stranger does not
            log.error("the issuing CA's key: %s", error)
            raise ProvisioningError("enrol.key_away", "the CA cannot sign now") from None
        finally:
            under_way -= 1

    def retry_after_s(code: str) -> int | None:
        """How long to stay away, seconds; None when coming again is no use or the sender's own affair."""
        if code in ("enrol.busy", "enrol.key_away", "station.busy"):
            return RETRY_BUSY_S + secrets.randbelow(RETRY_BUSY_S + 1)
        return {"enrol.too_many": RETRY_AFTER_S, "enrol.shelf_life": settings.word_retry_s}.get(code)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        job = asyncio.create_task(_publish(publisher, settings.push_s))
        yield
        job.cancel()
        with suppress(asyncio.CancelledError):
            await job
        threads.shutdown()
        committing.shutdown()
        engine.dispose()

    app = FastAPI(title="Tenfold enrolment", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)

    @app.exception_handler(ProvisioningError)
    async def refuse(_request: Request, error: ProvisioningError) -> Response:
        log.warning("refused: %s", error)
        wait_s = retry_after_s(error.code)
        headers = None if wait_s is None else {"Retry-After": str(wait_s)}
        return JSONResponse({"code": error.code, "message": error.message}, _STATUS.get(error.code, 403), headers)

    app.include_router(station_router(Stations(ledger, attempts, settings.station_per_min)))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(PREFIX + "/cacerts")
    async def cacerts() -> Response:
        return _certs_only(chain)

    @app.get(PREFIX + "/csrattrs")
    async def csrattrs() -> Response:
        return _base64(_CSR_ATTRIBUTES, "application/csrattrs")

    @app.get(CRL_PATH)
    async def crl() -> Response:
        if not publisher.der:
            raise ProvisioningError("enrol.key_away", "the CA has signed no revocation list yet")
        return Response(publisher.der, media_type="application/pkix-crl")

    @app.post(PREFIX + "/simpleenroll")
    async def simpleenroll(request: Request) -> Response:
        return await issue(request, renews=False)

    @app.post(PREFIX + "/simplereenroll")
    async def simplereenroll(request: Request) -> Response:
        return await issue(request, renews=True)

    return app


async def _publish(publisher: Publisher, every_s: float) -> None:
    """Keep the revocation list and the brokers' files as the ledger has them."""
    while True:
        try:
            if await run_in_threadpool(publisher.tick, _now()):
                log.info("revocation list and brokers told")
        except (OSError, KeyFileError, BrokerError, SQLAlchemyError) as error:
            log.error("revocations are not told: %s", error)
        await asyncio.sleep(every_s)


def _peer(request: Request) -> Peer | None:
    certificate = received.certificate(request)
    return None if certificate is None else Peer(common_name(ca.der(certificate)), ca.serial_hex(certificate))


def _certs_only(certificates: list[x509.Certificate]) -> Response:
    message = pkcs7.serialize_certificates(certificates, Encoding.DER)
    return _base64(message, "application/pkcs7-mime; smime-type=certs-only")


def _base64(content: bytes, media_type: str) -> Response:
    return Response(base64.b64encode(content), media_type=media_type, headers={"Content-Transfer-Encoding": "base64"})


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
