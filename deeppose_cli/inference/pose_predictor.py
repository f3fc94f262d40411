"""A model as a class for `ray.data`: each worker loads it once and gets batches of paths."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from deeppose_cli.config.defaults import MIN_CONFIDENCE, RUNS_ROOT
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.inference.estimator import load
from deeppose_cli.inference.records import Record, error_record, image_record
from deeppose_cli.media.images import read_image


class PosePredictor:
    """Predicts the images of a batch of paths; for `ray.data.Dataset.map_batches`.

    >>> ray.data.from_items([{"path": "a.jpg"}]).map_batches(PosePredictor, concurrency=2)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | PathLike[str] | None = None,
        *,
        box: str = "auto",
        stages: int | None = None,
        flip_test: bool = False,
        min_confidence: float = MIN_CONFIDENCE,
        engine: str | None = None,
        runs_root: str | PathLike[str] = RUNS_ROOT,
    ) -> None:
        """The arguments are those of `load` and of `predict`; files must be at the same path on every machine."""
        self._estimator = load(model, box=box, stages=stages, engine=engine, runs_root=runs_root)
        self._flip_test, self._min_confidence = flip_test, min_confidence

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        """`batch["path"]`: paths of images. Returns `path`, and `record`: a line of `predictions.jsonl` for each image,
        with `error` in place of people where it cannot be read."""
        paths = [str(path) for path in batch["path"]]
        return {"path": paths, "record": [json.dumps(self._predict(Path(path)), allow_nan=False) for path in paths]}

    def _predict(self, path: Path) -> Record:
        try:
            image = read_image(path, as_displayed=True)
            people = self._estimator.find_people(
                image, path, flip_test=self._flip_test, min_confidence=self._min_confidence
            )
        except DeepPoseError as error:
            return error_record(path, str(error))
        return image_record(path, path.name, image, "", people, self._estimator.cascade.skeleton)
