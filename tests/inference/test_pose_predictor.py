"""The class for `ray.data`: the records of `predict`, alone and on real Ray workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deeppose_cli.app.examples import draw_examples
from deeppose_cli.inference.pipeline import predict
from deeppose_cli.inference.pose_predictor import PosePredictor
from deeppose_cli.inference.writer import RECORDS

pytestmark = pytest.mark.usefixtures("pretrained_weights")


@pytest.fixture
def expected(tmp_path: Path) -> dict[str, Any]:
    """By path, the records of `predict`; the last file is no image."""
    files = draw_examples(tmp_path)
    (tmp_path / "no-image.jpg").write_bytes(b"\xff\xd8")
    out = tmp_path / "out"
    predict([*files, tmp_path / "no-image.jpg"], weights="people-fast", out=out, overlays=False)
    records = [json.loads(line) for line in (out / RECORDS).read_text().splitlines()]
    return {record["source"]: record for record in records}


def test_the_records_are_those_of_predict(expected: dict[str, Any]) -> None:
    found = PosePredictor("people-fast")({"path": list(expected)})
    assert dict(zip(found["path"], map(json.loads, found["record"]), strict=True)) == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_two_ray_workers_give_the_records_of_predict(expected: dict[str, Any]) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    pytest.importorskip("ray.data", reason="Ray's data part is not installed")
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        data = ray.data.from_items([{"path": path} for path in expected]).repartition(4)
        rows = data.map_batches(
            PosePredictor, fn_constructor_args=("people-fast",), batch_size=1, concurrency=2, num_cpus=1
        ).take_all()
    finally:
        ray.shutdown()
    assert {row["path"]: json.loads(row["record"]) for row in rows} == expected
