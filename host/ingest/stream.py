"""The JetStream stream that keeps what devices send until ingest has stored it, and the consumer that the workers share.

Decides what the stream is: a work queue. A message leaves it when a worker has settled it, so its disk holds only what is not in
the database yet; the retained states stay in the broker's own stream for MQTT, and last wills come through ours like every
publish. At its limit the oldest go: devices still have their records, and the newest states are the true ones. Made by an
operator with rights of its own (host.broker, `op.broker`): who may create streams may listen to everything.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import nats
from nats.errors import Error as NatsError
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError

from host.broker import CONSUMER, STREAM
from host.ingest import senml
from node.wire import topics

INBOX_PREFIX = "_INBOX.broker"   # host.broker lets op.broker hear under it
SUBJECTS = [f"t.*.{topics.UP}", f"t.*.{topics.STATE}", f"s.*.{senml.JSON}", f"s.*.{senml.CBOR}"]
CONNECT_S = 5
EXISTS = 10_058                  # JetStream's code: a stream of the name with another configuration


class StreamError(Exception):
    """The stream cannot be made; the message tells the broker's reason."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the stream is made of.

    Attributes:
        replicas: nodes that keep each message: 1, 3 or 5.
        max_bytes: disk on each node; beyond it the oldest go.
        ack_wait_s: a worker that did not settle by then has died: another gets its messages.
        max_ack_pending: messages on their way to all workers together; the rest waits in the stream.
    """

    replicas: int = 1
    max_bytes: int = 2 << 30
    ack_wait_s: float = 30.0
    max_ack_pending: int = 20_000


def make(servers: Sequence[str], tls: ssl.SSLContext, shape: Shape) -> None:
    """Make stream and consumer, or change them to this shape; what is in the stream stays.

    Args:
        servers: host:port of NATS ports.

    Raises:
        StreamError: no server can be reached, or it refuses.
    """
    try:
        asyncio.run(_make([f"tls://{server}" for server in servers], tls, shape))
    except (NatsError, OSError, TimeoutError) as error:
        raise StreamError(f"stream {STREAM} on {', '.join(servers)}: {str(error) or type(error).__name__}") from None


async def _make(servers: list[str], tls: ssl.SSLContext, shape: Shape) -> None:
    client = await nats.connect(servers, tls=tls, inbox_prefix=INBOX_PREFIX, allow_reconnect=False, connect_timeout=CONNECT_S)
    try:
        streams = client.jetstream()
        config = StreamConfig(
            name=STREAM, subjects=SUBJECTS, retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE, num_replicas=shape.replicas, discard=DiscardPolicy.OLD, max_bytes=shape.max_bytes,
        )
        try:
            await streams.add_stream(config)
        except BadRequestError as error:
            if error.err_code != EXISTS:
                raise
            await streams.update_stream(config)
        await streams.add_consumer(STREAM, ConsumerConfig(
            durable_name=CONSUMER, deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.EXPLICIT,
            ack_wait=shape.ack_wait_s, max_ack_pending=shape.max_ack_pending, max_deliver=-1,
        ))
    finally:
        await client.close()
