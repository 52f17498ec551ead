"""The errors that clients see: a status and a JSON body {"code", "message"}, never a traceback.

Codes are stable and dotted; SPEC.md lists them. Domain errors are turned into them here, in one place.
"""

import logging
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from node.errors import NodeError
from ota.archive.folder import ArchiveError, MismatchError, MissingError
from ota.release.verify import ReleaseError
from ota.rules.rollout import PolicyError, RolloutError
from ota.server.control import ApprovalError, RollbackError, UnknownError
from ota.store.labels import CohortsError
from ota.store.session import BusyError

RETRY_BUSY_S = 5
# 409: right, but not here and now.
CONFLICTS = ("release.base", "release.counter", "release.missing", "release.retired", "release.stranded", "root.direction",
             "root.pinned", "approval.none")
log = logging.getLogger(__name__)


class ApiError(HTTPException):
    """A request cannot be answered as asked."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, message, headers)
        self.code = code


MAPPED: dict[type[Exception], tuple[int, str]] = {   # domain error -> status and code
    PolicyError: (422, "rollout.policy"),
    RolloutError: (409, "rollout.state"),
    RollbackError: (409, "rollout.rollback"),
    CohortsError: (409, "labels.many"),
    UnknownError: (404, "http.404"),
    MissingError: (404, "http.404"),
    MismatchError: (422, "artifact.sha256"),
    ClientDisconnect: (400, "request.cut"),   # only the log of a proxy sees it; without, it would be told as our fault
    BusyError: (503, "server.busy"),
}


def install(app: FastAPI) -> None:
    """Make every error of an application answer in the one form."""
    for kind, (status, code) in MAPPED.items():
        app.add_exception_handler(kind, _mapped(status, code))
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(ReleaseError, _coded)
    app.add_exception_handler(ApprovalError, _coded)
    app.add_exception_handler(NodeError, _coded)
    app.add_exception_handler(DataError, _unkept)
    app.add_exception_handler(ArchiveError, _fault)
    app.add_exception_handler(Exception, _fault)


def answer(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Build the body that all errors have."""
    return JSONResponse({"code": code, "message": message}, status, headers)


def of(error: ApiError | BusyError) -> JSONResponse:
    """Build the answer to an error that arises before the application's own handlers can see it."""
    if isinstance(error, ApiError):
        return answer(error.status_code, error.code, str(error.detail), dict(error.headers or {}))
    return answer(*MAPPED[BusyError], str(error), {"Retry-After": str(RETRY_BUSY_S)})


def _mapped(status: int, code: str) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def handler(_request: Request, error: Exception) -> JSONResponse:
        headers = {"Retry-After": str(RETRY_BUSY_S)} if status == 503 else None
        return answer(status, code, str(error), headers)

    return handler


async def _http(_request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, ApiError):
        return of(error)
    status = error.status_code if isinstance(error, HTTPException) else 500
    return answer(status, f"http.{status}", str(getattr(error, "detail", "")))


async def _validation(_request: Request, error: Exception) -> JSONResponse:
    fault = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": ""}
    key = ".".join(str(part) for part in fault["loc"] if part != "body")
    return answer(422, "request." + (key or "body"), f"{key or 'body'}: {fault['msg']}")


async def _coded(_request: Request, error: Exception) -> JSONResponse:
    message = error.message if isinstance(error, NodeError) else str(error)
    code = str(getattr(error, "code", "request.body"))
    status = 403 if code == "approval.same" else 409 if code in CONFLICTS else 422
    return answer(status, code, message)


async def _unkept(_request: Request, _error: Exception) -> JSONResponse:
    return answer(422, "request.value", "got a value that the database cannot keep, such as a text with a NUL")   # no SQL in it


async def _fault(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(500, "server.fault", "the server failed; its log tells why")
