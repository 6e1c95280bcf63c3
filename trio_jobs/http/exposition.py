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

Values = Mapping[Labels, float | Distribution]


def render(readings: Mapping[Family, Values], *, openmetrics: bool) -> tuple[bytes, str]:
    """The text, and its content type. Families without a value are there with HELP and TYPE."""
    collector = _Readings(readings)
    if openmetrics:
        text = openmetrics_format.generate_latest(collector)
        return text, openmetrics_format.CONTENT_TYPE_LATEST
    return generate_latest(collector), CONTENT_TYPE_PLAIN_0_0_4


class _Readings(Collector):
    def __init__(self, readings: Mapping[Family, Values]) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES:
            yield _metric(family, self._readings.get(family, {}))


def _metric(family: Family, values: Values) -> Metric:
    name, about, names = family.name, family.about, family.labels
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(name, about, labels=names)
        bounds = [*map(floatToGoString, family.bounds), "+Inf"]
        for labels, value in sorted(values.items()):
            if isinstance(value, Distribution):
                buckets = list(zip(bounds, value.cumulative, strict=True))
                histogram.add_metric(labels, buckets, value.sum)
        return histogram
    if family.kind == "info":
        info = InfoMetricFamily(name.removesuffix("_info"), about)
        for labels in values:
            info.add_metric((), dict(zip(names, labels, strict=True)))
        return info
    one = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = one(name.removesuffix("_total"), about, labels=names)
    for labels, value in sorted(values.items()):
        metric.add_metric(labels, value)
    return metric
