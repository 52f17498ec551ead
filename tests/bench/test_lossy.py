"""A link that is better than it says: segments that overtake, losses that cost nothing, a window without an end."""

import asyncio
import random

import pytest

from host.bench.lossy import MIN_RTO_S, SEGMENT_BYTES, WINDOW_BYTES, Direction, Path, Proxy

PATH = Path(0.1, 0.0)


class Drawn:
    """Chance that was drawn before."""

    def __init__(self, *values):
        self.values = list(values)

    def random(self):
        return self.values.pop(0) if self.values else 1.0


def test_first_byte_waits_for_the_connection_and_its_own_way():
    direction = Direction(PATH, Drawn(), 10.0)
    assert direction.send(100, 10.0) == pytest.approx(10.1)
    assert direction.send(100, 11.0) == pytest.approx(11.05)


def test_lost_segment_comes_after_the_retransmission_and_holds_what_follows():
    direction = Direction(Path(0.1, 0.01), Drawn(1.0, 0.0, 0.001, 1.0, 1.0), 0.0)
    assert direction.send(100, 1.0) == pytest.approx(1.05)
    assert direction.send(100, 2.0) == pytest.approx(2.05 + 3 * MIN_RTO_S)   # lost twice
    assert direction.send(100, 2.1) == pytest.approx(2.05 + 3 * MIN_RTO_S)
    assert direction.lost == 1


def test_long_round_trip_has_a_longer_timeout():
    assert Path(0.5, 0.01).delay_s(Drawn(0.0)) == pytest.approx(0.25 + 1.0)


def test_window_is_full_until_the_acknowledgement_is_back():
    direction = Direction(PATH, Drawn(), 0.0)
    for _ in range(WINDOW_BYTES // SEGMENT_BYTES):
        assert direction.room_in_s(1.0) == 0.0
        direction.send(SEGMENT_BYTES, 1.0)
    assert direction.room_in_s(1.0) == pytest.approx(0.1)
    assert direction.room_in_s(1.1001) == 0.0


def test_small_segments_are_not_held_back():
    direction = Direction(PATH, Drawn(), 0.0)
    for _ in range(10):
        direction.send(200, 1.0)
    assert direction.room_in_s(1.0) == 0.0


def test_share_of_the_segments_is_lost():
    chance = random.Random(1)
    lost = sum(Path(0.1, 0.01).delay_s(chance) > 0.05 for _ in range(20_000))
    assert 150 < lost < 250


def test_proxy_passes_everything_on_whole_and_in_order():
    sent = bytes(range(256)) * 200

    async def echo(reader, writer):
        writer.write(await reader.readexactly(len(sent)))
        await writer.drain()
        writer.close()

    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        proxy = Proxy(Path(0.001, 0.0), server.sockets[0].getsockname()[1], 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", await proxy.start())
        writer.write(sent)
        got = await reader.read(-1)
        writer.close()
        await proxy.stop()
        server.close()
        return got, proxy

    got, proxy = asyncio.run(asyncio.wait_for(main(), 20))
    assert got == sent
    assert (proxy.up_bytes, proxy.down_bytes, proxy.connections, proxy.lost) == (len(sent), len(sent), 1, 0)


def broken(*, silently):
    """What an echo's client reads after its connection was broken: b"" at its close, None for silence; and whether one broke."""
    async def echo(reader, writer):
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        proxy = Proxy(Path(0.001, 0.0), server.sockets[0].getsockname()[1], 1)
        port = await proxy.start()
        assert not proxy.break_one(silently=silently)   # there is none yet
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        assert proxy.break_one(silently=silently)
        writer.write(b"after")
        reading = asyncio.create_task(reader.read(-1))
        done, _ = await asyncio.wait([reading], timeout=0.2 if silently else 5)
        reading.cancel()
        writer.close()
        await proxy.stop()
        server.close()
        return reading.result() if done else None

    return asyncio.run(asyncio.wait_for(main(), 20))


def test_broken_connection_passes_on_what_comes_after():
    assert broken(silently=False) == b""
    assert broken(silently=True) is None
