"""Puts the console together: settings, sources, API, page."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as BaseHTTPException
from starlette.staticfiles import StaticFiles

from host.clock import unix_ms
from host.console import api, metrics, v1
from host.console.guard import Guard
from host.console.live import Live
from host.console.ota import HttpOta, NoOta, OtaSource
from host.console.settings import ConsoleSettings
from host.console.telemetry import Telemetry
from host.console.watched import Watched
from host.tls import client_context

STATIC = Path(__file__).parent / "static"


def create_app(
    settings: ConsoleSettings, *, ota: OtaSource | None = None, clock_ms: Callable[[], int] = unix_ms,
) -> FastAPI:
    """Make the ASGI application.

    Args:
        ota: another source of rollouts than the settings name.
        clock_ms: Unix milliseconds.

    Raises:
        SettingsError: the database's URL or a certificate file is unusable.
    """
    source, telemetry = ota or make_ota(settings), Telemetry(settings.database, clock_ms)
    scrape = metrics.make_scrape(settings, telemetry, source)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await source.close()
        telemetry.close()
        scrape.close()

    app = FastAPI(title="Tenfold console", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json", lifespan=lifespan)
    app.state.settings = settings
    app.state.sources = api.Sources.make(telemetry, source, settings.keep_s, clock_ms)
    app.state.open = v1.Open(Live(telemetry))
    app.state.metrics = Watched(scrape.text, settings.metrics_keep_s, clock_ms)
    for part in (api, v1, metrics):
        app.include_router(part.router)
    app.add_exception_handler(BaseHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(Guard)
    app.mount("/", StaticFiles(directory=STATIC, html=True), name="page")
    return app


def make_ota(settings: ConsoleSettings) -> OtaSource:
    """The OTA server that the settings name."""
    if not settings.ota_url or settings.ca_file is None:
        return NoOta()
    context = client_context(settings.ca_file, settings.cert_file, settings.key_file)
    return HttpOta(settings.ota_url, context, settings.ota_timeout_s)


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    """Every refusal is {"code", "message"}."""
    assert isinstance(error, BaseHTTPException)  # noqa: S101  registered for it
    detail = error.detail if isinstance(error, HTTPException) else None
    body = detail if isinstance(detail, dict) else {"code": f"http.{error.status_code}", "message": str(error.detail)}
    return JSONResponse(body, error.status_code, headers=error.headers)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for it
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"][1:])
    return JSONResponse({"code": "console.parameter", "message": f"{key}: {fault['msg']}"}, 422)
