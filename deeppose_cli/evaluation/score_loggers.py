"""Scores of an evaluation to TensorBoard or Weights & Biases; scores.json is always written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROJECT = "deeppose"


def log_scores(
    loggers: Sequence[str], document: Mapping[str, Any], files: Sequence[Path], folder: Path, *, online: bool = False
) -> None:
    """Log the means and kinds of every row, and the figures and the report among the files, below the folder.

    `loggers`: of `tensorboard` and `wandb`. Nothing is uploaded unless `online`.
    """
    model = next((str(document[kind]) for kind in ("run", "weights") if document.get(kind)), "predictions")
    title = f"{model}-{document['data']}-{document['split']}"
    values = {
        f"{row['name']}/{metric}/{name}": value
        for row in document["rows"]
        for metric, found in row.items()
        if isinstance(found, Mapping)
        for name, value in _numbers(found)
    }
    pages = [file for file in files if file.suffix == ".html"]
    images = [file for file in files if file.suffix == ".png"]
    if "tensorboard" in loggers:
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(folder / "tensorboard")) as writer:
            for name, value in values.items():
                writer.add_scalar(name, value, 0)
    if "wandb" in loggers:
        import wandb

        settings = {"centric": document["centric"], "box": document.get("box"), "images": document["images"]}
        with wandb.init(
            project=PROJECT,
            name=title,
            job_type="eval",
            dir=str(folder),
            mode="online" if online else "offline",
            config={"data": document["data"], "split": document["split"], "model": model, **settings},
        ) as run:
            run.summary.update(values)
            run.log(
                {
                    **{file.stem: wandb.Image(str(file)) for file in images},
                    **{file.stem: wandb.Html(file.read_text(encoding="utf-8")) for file in pages},
                }
            )


def _numbers(scores: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The means, and those of joint or limb kinds; without curves, bins and intervals."""
    kinds = {**scores.get("joints", {}), **scores.get("limbs", {})}
    named = {**{key: value for key, value in scores.items() if key != "threshold"}, **kinds}
    return [
        (name, float(value))
        for name, value in named.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
