"""The benchmark of the fused operations runs on a CPU, as a smoke test."""

from __future__ import annotations

from benchmarks import kernels


def test_every_operation_is_measured_and_right() -> None:
    figures = kernels.measure("cpu", images=1)
    rows = figures["rows"]
    assert {row["by"] for row in rows} == {"kernels", "torch", "fused", "blocks"}
    bounds = {"float16": 2e-2, "float32": 2e-5}
    for row in rows:
        for direction in ("forward", "backward"):
            assert 0 <= row[direction]["error"] < bounds[row["dtype"]]
            assert row[direction]["ms"] > 0
    printed = kernels.table(figures)
    assert len(printed.splitlines()) == len(rows) + 4
    assert "| last affine + relu, 128² × 128 | float16 | kernels |" in printed
