"""Published results: in the form of a row, with their sources, and only where they can be compared."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deeppose_cli.core.skeleton import FLIC10, LSP14
from deeppose_cli.evaluation.pcp import limb_kinds
from deeppose_cli.evaluation.published_results import PUBLISHED, TEST_IMAGES, comparable_results

USUAL: dict[str, Any] = {"centric": "person", "usual_box": True, "pcp_rule": "strict"}
ROWS = [pytest.param(data, row, id=f"{data}-{row['name']}") for data, rows in PUBLISHED.items() for row in rows]
ALL = [row for rows in PUBLISHED.values() for row in rows]


def names(data: str, split: str = "test", images: int | None = None, **changed: Any) -> list[str]:
    images = TEST_IMAGES.get(data, 100) if images is None else images
    return [row["name"] for row in comparable_results(data, split, images, **{**USUAL, **changed})]


@pytest.mark.parametrize(("data", "row"), ROWS)
def test_a_result_is_a_fraction_of_a_joint_or_limb_that_exists_and_has_a_source(data: str, row: dict[str, Any]) -> None:
    skeleton = {"lsp": LSP14, "flic": FLIC10}[data]
    assert row["source"]
    assert json.loads(json.dumps(row)) == row
    (metric,) = row.keys() & {"pdj", "pcp", "pck"}
    values = row[metric]
    kinds = values.get("limbs" if metric == "pcp" else "joints", {})
    means = {key: value for key, value in values.items() if key.startswith("mean")}
    assert kinds or means
    assert all(0 < value < 1 for value in (*kinds.values(), *means.values()))
    assert set(kinds) <= set(limb_kinds(skeleton) if metric == "pcp" else skeleton.joint_kinds)
    assert set(means) <= {"mean", "mean_arms_legs"}


def test_results_quoted_from_memory_of_the_paper_are_marked() -> None:
    assert {row["unverified"] for row in ALL if "Toshev" in row["source"]} == {True}


def test_means_over_arms_and_legs_agree_with_their_limbs() -> None:
    """To what rounding to two digits leaves."""
    results = [row["pcp"] for row in ALL if len(row.get("pcp", {}).get("limbs", ())) == 4]
    assert len(results) == 4
    for row in results:
        assert sum(row["limbs"].values()) / 4 == pytest.approx(row["mean_arms_legs"], abs=0.006)


def test_results_that_may_measure_something_else_have_a_note() -> None:
    marked = {row["name"] for row in ALL if row.get("note", "").startswith("not comparable for sure: ")}
    assert marked == {row["name"] for row in ALL if row["name"].startswith(("CPM", "deeppose_tf"))} != set()


def test_they_are_shown_beside_comparable_scores_only() -> None:
    lsp, flic = names("lsp"), names("flic")
    assert [name for name in lsp if name.startswith("DeepPose")] == [f"DeepPose stage {stage}" for stage in (1, 2, 3)]
    assert "DeepPose" in flic
    assert "DeepPose" not in lsp
    for data in ("lsp", "flic"):
        assert not names(data, split="train")
        assert not names(data, split="validation")
        assert not names(data, centric="observer")
        assert not names(data, usual_box=False)
        assert not names(data, images=TEST_IMAGES[data] - 1)
    assert not names("buffy")
    assert not names("demo")
    assert names("lsp", pcp_rule="mean") == ["CPM"]
    assert "DeepPose" in names("flic", pcp_rule="mean")
