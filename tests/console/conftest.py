"""A made-up fleet and a console over it, both at a fixed time."""

import asyncio
import contextlib

import httpx
import pytest

from host.console.app import create_app
from host.console.settings import ConsoleSettings
from tests.console.fleet import Fleet, OtaWords

NOW_MS = 1_800_000_000_000
MINUTES = 3


class Clock:
    """Unix milliseconds that only move when told."""

    def __init__(self):
        self.now_ms = NOW_MS

    def __call__(self):
        return self.now_ms


class Console:
    """Asks a console in this thread."""

    def __init__(self, settings, ota, clock):
        self.clock = clock
        self.app = create_app(settings, ota=ota, clock_ms=clock)
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://127.0.0.1:8000")

    def get(self, path, **more):
        return self._runner.run(self._client.get(path, **more))

    def together(self, paths):
        async def ask():
            return await asyncio.gather(*(self._client.get(path) for path in paths))

        return self._runner.run(ask())

    def post(self, path):
        return self._runner.run(self._client.post(path))

    def later(self, ms=60_000):
        """Let what is remembered become old."""
        self.clock.now_ms += ms

    def close(self):
        self._runner.run(self._client.aclose())
        self._runner.run(self.app.state.sources.ota.close())
        self._runner.close()
        self.app.state.sources.telemetry.close()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    made = Fleet(tmp_path_factory.mktemp("fleet"), 6, NOW_MS - MINUTES * 60_000, minutes=4)
    made.advance(NOW_MS)
    yield made
    made.engine.dispose()


@pytest.fixture
def console_of():
    """Makes consoles and closes them."""
    with contextlib.ExitStack() as stack:
        def make(database, ota=None):
            console = Console(ConsoleSettings(database=database), ota, Clock())
            stack.callback(console.close)
            return console

        yield make


@pytest.fixture
def words(fleet):
    return OtaWords(fleet, lambda: NOW_MS)


@pytest.fixture
def console(fleet, words, console_of):
    return console_of(fleet.url, words.source())
