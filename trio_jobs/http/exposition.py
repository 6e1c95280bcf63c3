"""Readings in the words of Prometheus. The one module that imports prometheus_client."""

from collections.abc import Iterator, Mapping

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics_format
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from ..metrics import FAMILIES, Distribution, Family, Labels

Numbers = Mapping[Labels, float]
Distributions = Mapping[Labels, Distribution]


def render(
    numbers: Mapping[Family, Numbers],
    distributions: Mapping[Family, Distributions],
    *,
    openmetrics: bool,
) -> tuple[bytes, str]:
    """The text, and its content type. Families without a value are there with HELP and TYPE."""
    collector = _Readings(numbers, distributions)
    if openmetrics:
        text = openmetrics_format.generate_latest(collector)  # type: ignore[no-untyped-call]
        return text, openmetrics_format.CONTENT_TYPE_LATEST
    return generate_latest(collector), CONTENT_TYPE_PLAIN_0_0_4


class _Readings(Collector):
    def __init__(
        self, numbers: Mapping[Family, Numbers], distributions: Mapping[Family, Distributions]
    ) -> None:
        self._numbers = numbers
        self._distributions = distributions

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES:
            if family.kind == "histogram":
                yield _histogram(family, self._distributions.get(family, {}))
            elif family.kind == "info":
                yield _info(family, self._numbers.get(family, {}))
            else:
                yield _number(family, self._numbers.get(family, {}))


def _histogram(family: Family, distributions: Distributions) -> Metric:
    metric = HistogramMetricFamily(family.name, family.about, labels=family.labels)
    bounds = [*map(floatToGoString, family.bounds), "+Inf"]
    for labels, one in sorted(distributions.items()):
        buckets = list(zip(bounds, one.cumulative, strict=True))
        metric.add_metric(labels, buckets, one.sum)
    return metric


def _info(family: Family, numbers: Numbers) -> Metric:
    metric = InfoMetricFamily(family.name.removesuffix("_info"), family.about)
    for labels in numbers:
        metric.add_metric((), dict(zip(family.labels, labels, strict=True)))
    return metric


def _number(family: Family, numbers: Numbers) -> Metric:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name.removesuffix("_total"), family.about, labels=family.labels)
    for labels, value in sorted(numbers.items()):
        metric.add_metric(labels, value)
    return metric
