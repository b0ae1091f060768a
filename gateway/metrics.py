"""The report in Prometheus' text format (exposition format 0.0.4). Pure.

For the textfile collector of the node exporter; the agent opens no port. Names are
stable once released; docs/operations.md describes each, with alerts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

PREFIX: Final = "peerage_gateway_"
GAUGE: Final = "gauge"
COUNTER: Final = "counter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value with its labels."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One family: name without the prefix, kind, help, values."""

    name: str
    kind: str
    about: str
    samples: tuple[Sample, ...]


def exposition(report: Mapping[str, Any]) -> str:
    """Return every metric of a report as text; what is unknown is left out."""
    lines: list[str] = []
    for metric in families(report):
        name = f"{PREFIX}{metric.name}"
        lines += (f"# HELP {name} {metric.about}", f"# TYPE {name} {metric.kind}")
        lines += (
            f"{name}{_labels(s.labels)} {_number(s.value)}" for s in metric.samples
        )
    return "\n".join(lines) + "\n"


def families(report: Mapping[str, Any]) -> Iterator[Metric]:
    """Yield every metric that has a value."""
    for metric in (*_state(report), *_work(report), *_evidence(report)):
        if metric.samples:
            yield metric


def _state(report: Mapping[str, Any]) -> Iterator[Metric]:
    labels = {"gateway": report["gateway"], "version": report["version"]}
    build = (Sample(value=1, labels=labels),)
    yield Metric(name="info", kind=GAUGE, about="Always 1.", samples=build)
    yield _gauge(
        "start_time_seconds", "When the agent started.", _at(report, "started_at")
    )
    yield _gauge("report_time_seconds", "When this was written.", _at(report, "at"))
    yield _gauge("generation", "Generation in force, 0 for none.", report["generation"])
    yield _gauge(
        "accepted_generation",
        "Generation accepted last, in force or not.",
        report["accepted_generation"],
    )
    yield _gauge("epoch", "Epoch of the deployment.", report["epoch"])
    yield _gauge("peers", "Peers of the accepted generation.", report["peers"])
    yield _gauge("grants", "Grants of the accepted generation.", report["grants"])
    yield _gauge(
        "lease_seconds", "How long the lease runs still.", report["lease_seconds"]
    )
    yield _gauge(
        "gate_open",
        "1 while the gate is kept open, 0 while it closes.",
        int(report["gate"]["is_open"]),
    )
    yield _gauge(
        "withheld_applications",
        "Applications that are closed because their own terms are not met.",
        len(report["withheld"]),
    )
    yield _gauge(
        "clock_offset_seconds",
        "This machine's clock less the portal's signed time.",
        report["clock_offset_seconds"],
    )
    table = report["conntrack"] or {}
    yield _gauge(
        "conntrack_entries",
        "Entries of the kernel's connection table.",
        table.get("entries"),
    )
    yield _gauge("conntrack_max", "Entries it can hold.", table.get("max"))


def _work(report: Mapping[str, Any]) -> Iterator[Metric]:
    counts = report["counts"]
    yield _counter(
        "polls_total", "Answers to polls that were accepted.", counts, "polls"
    )
    yield _counter("poll_errors_total", "Polls without one.", counts, "poll_errors")
    yield _counter(
        "applies_total", "Applications of a generation.", counts, "applies", "result"
    )
    yield _counter(
        "apply_seconds_total",
        "Seconds spent in them, by stage.",
        report["seconds"],
        "apply",
        "stage",
    )
    yield _counter(
        "acknowledgements_total", "Acknowledgements taken.", counts, "acknowledgements"
    )
    yield _counter(
        "acknowledgement_errors_total",
        "Attempts that were not.",
        counts,
        "acknowledgement_errors",
    )
    cut = (Sample(value=report["flows_cut"]),)
    yield Metric(
        name="flows_cut_total",
        kind=COUNTER,
        about="Flows cut by a decision.",
        samples=cut,
    )


def _evidence(report: Mapping[str, Any]) -> Iterator[Metric]:
    counts, spool = report["counts"], report["spool"]
    yield _counter("records_total", "Evidence by kind.", counts, "records", "kind")
    yield _counter(
        "lost_total", "Events that were lost, by source.", counts, "lost", "source"
    )
    yield _counter("uploaded_records_total", "Records signed for.", counts, "uploaded")
    yield _counter("upload_errors_total", "Batches not taken.", counts, "upload_errors")
    yield _gauge("spool_records", "Records that wait.", spool["records"])
    yield _gauge("spool_bytes", "Bytes of the spool on disk.", spool["bytes"])
    oldest = spool["oldest_at"]
    age = 0.0 if oldest is None else _at(report, "at") - _seconds(oldest)
    yield _gauge(
        "upload_lag_seconds", "Age of the oldest record that waits.", max(0.0, age)
    )


def _gauge(name: str, about: str, value: float | None) -> Metric:
    samples = () if value is None else (Sample(value=value),)
    return Metric(name=name, kind=GAUGE, about=about, samples=samples)


def _counter(
    name: str,
    about: str,
    values: Mapping[str, Mapping[str, float]],
    key: str,
    label: str = "",
) -> Metric:
    """Return a counter; one without labels that never counted is 0."""
    found = values.get(key, {} if label else {"": 0})
    samples = tuple(
        Sample(value=value, labels={label: text} if label else {})
        for text, value in found.items()
    )
    return Metric(name=name, kind=COUNTER, about=about, samples=samples)


def _at(report: Mapping[str, Any], key: str) -> float:
    return _seconds(report[key])


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escaped(text)}"' for name, text in labels.items())
    return f"{{{','.join(pairs)}}}"


def _escaped(text: str) -> str:
    r"""Return a label's value: \, " and line feeds escaped."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.6f}"
