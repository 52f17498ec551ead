"""Samples in Prometheus's text format.

Decides nothing: kind and help of each name are the catalogue's, the format is prometheus-client's. Listens nowhere.
"""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from host.monitor.catalogue import COUNTER, HISTOGRAM, METRICS
from host.monitor.sample import Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PARTS = ("_bucket", "_sum", "_count")   # samples of a histogram


def render(samples: Iterable[Sample]) -> bytes:
    """The text of a scrape.

    Raises:
        KeyError: a sample's name is not in the catalogue.
    """
    return generate_latest(registry(lambda: samples))


def registry(ask: Callable[[], Iterable[Sample]]) -> CollectorRegistry:
    """A registry that asks for samples at every scrape; for prometheus-client's own server."""
    found = CollectorRegistry(auto_describe=False)
    found.register(_Asking(ask))
    return found


class _Asking(Collector):
    def __init__(self, ask: Callable[[], Iterable[Sample]]) -> None:
        self._ask = ask

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for sample in self._ask():
            name = _family(sample.metric)
            if name not in families:
                kind = METRICS[name]
                base = name.removesuffix("_total") if kind.kind == COUNTER else name   # the format adds it again
                families[name] = Metric(base, kind.text, kind.kind)
            families[name].add_sample(sample.metric, dict(sample.labels), sample.value)
        return iter(families.values())


def _family(metric: str) -> str:
    for part in PARTS:
        name = metric.removesuffix(part)
        if name != metric and name in METRICS and METRICS[name].kind == HISTOGRAM:
            return name
    return metric
