"""A source that is slow, failing or asked by many: asked once, its last words kept, never a queue of browsers."""

import asyncio

import pytest

from host.console.watched import SourceError, Watched


class Source:
    """Answers 1, 2, 3 …; may wait or fail."""

    def __init__(self):
        self.asked, self.error, self.gate = 0, None, None

    async def ask(self):
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error:
            raise self.error
        return self.asked


class Time:
    now_ms = 1_000_000

    def __call__(self):
        return self.now_ms


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def clock():
    return Time()


def test_an_answer_is_shown_until_it_is_old(source, clock):
    async def story():
        watched = Watched(source.ask, 1.0, clock)
        assert (await watched.get()).value == 1
        clock.now_ms += 999
        assert (await watched.get()).value == 1
        clock.now_ms += 1
        assert (await watched.get()).value == 2

    asyncio.run(story())


def test_a_failing_source_is_not_asked_more_often(source, clock):
    async def story():
        watched = Watched(source.ask, 1.0, clock)
        source.error = SourceError("x.away", "away")
        for _ in range(5):
            known = await watched.get()
        assert source.asked == 1
        assert known.value is None
        assert known.status() == {"ok": False, "code": "x.away", "message": "away", "since_ms": clock.now_ms}

    asyncio.run(story())


def test_those_who_come_while_a_slow_source_is_asked_get_its_last_words(source, clock):
    async def story():
        watched = Watched(source.ask, 1.0, clock)
        await watched.get()
        clock.now_ms += 2_000
        source.gate = asyncio.Event()
        first = asyncio.create_task(watched.get())
        await asyncio.sleep(0)
        assert (await asyncio.wait_for(watched.get(), 1)).value == 1
        source.gate.set()
        assert (await first).value == 2
        assert source.asked == 2

    asyncio.run(story())


def test_a_browser_that_goes_away_does_not_block_the_next(source, clock):
    async def story():
        watched = Watched(source.ask, 1.0, clock)
        source.gate = asyncio.Event()
        first = asyncio.create_task(watched.get())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        source.gate.set()
        assert (await asyncio.wait_for(watched.get(), 1)).value == 2

    asyncio.run(story())
