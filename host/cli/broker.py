"""`tenfold broker`: what ingest needs of a nats-server beside its configuration."""

from pathlib import Path
from typing import Annotated

import typer

from host.broker import CONSUMER, STREAM
from host.ingest import stream as made
from host.tls import client_context

app = typer.Typer(no_args_is_help=True, help="The broker: the stream that several ingest workers share.")


@app.callback()
def _group() -> None:
    """Keep `stream` a command of its own."""


@app.command()
def stream(
    ca: Annotated[Path, typer.Option(help="PEM bundle that verifies the broker.")],
    cert: Annotated[Path, typer.Option(help="PEM certificate of `op.broker`; no other may make streams.")],
    key: Annotated[Path, typer.Option(help="Its PEM key.")],
    server: Annotated[list[str] | None, typer.Option(help="host:port of a NATS port; repeat. Default: localhost:4222.")] = None,
    replicas: Annotated[int, typer.Option(min=1, max=5, help="Nodes that keep each message: 1, or 3 of a cluster.")] = 1,
    max_mb: Annotated[
        int, typer.Option(min=1, help="Disk on each node; beyond it the oldest go, which devices still have."),
    ] = 2048,
    ack_wait_s: Annotated[int, typer.Option(min=1, help="After it a dead worker's messages go to another.")] = 30,
) -> None:
    """Make the stream that keeps what devices send until ingest has stored it, or change it to what is said here.

    Example: tenfold broker stream --ca ca.pem --cert op.broker.pem --key op.broker.key --replicas 3
    """
    shape = made.Shape(replicas=replicas, max_bytes=max_mb << 20, ack_wait_s=ack_wait_s)
    made.make(server or ["localhost:4222"], client_context(ca, cert, key), shape)
    copies = "1 copy" if replicas == 1 else f"{replicas} copies"
    print(f"stream {STREAM}: {copies}, at most {max_mb} MB, consumer {CONSUMER}")
