"""Telemetry: signals become incidents, each opened once, named, graded and closed with a reason.

| | |
|---|---|
| topics in | `health-signals` (keyed by asset id); view: `assets` |
| topics out | `anomalies` |
| table | one row a series: `row_key("series", asset id, metric)` -> `state.SeriesState`, at most 1 KB |
| seed section | Real-time health monitoring and anomaly detection: `HealthMonitor`, `AnomalyDetector` |

Invariants:
- a sample is scored against the history before it; scores do not change under value -> a*value + b, a > 0;
- at most one value incident and one absence are open per series, each opened once and closed with a reason;
- no result depends on how samples were batched; a repeated sample changes nothing;
- not finite, absurd and too late samples leave the series as it was (the last are counted).

Entry points: `engine.TelemetryLayer`, `partition.TelemetryPartition` (docs/adr/0012), `detector.Detector` (one series,
no table), `settings.TelemetrySettings`.
"""
