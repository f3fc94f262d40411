"""Published results: in the form of a row, with their sources, and only where they can be compared."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deeppose_cli.core.skeleton import FLIC10, LSP14
from deeppose_cli.evaluation.pcp import limb_kinds
from deeppose_cli.evaluation.published_results import PUBLISHED, TEST_IMAGES, PublishedResult, comparable_results

USUAL: dict[str, Any] = {"centric": "person", "usual_box": True, "pcp_rule": "strict"}


def names(data: str, split: str = "test", images: int | None = None, **changed: Any) -> list[str]:
    images = TEST_IMAGES.get(data, 100) if images is None else images
    return [result.name for result in comparable_results(data, split, images, **{**USUAL, **changed})]


@pytest.mark.parametrize("result", PUBLISHED, ids=lambda result: f"{result.data}-{result.metric}-{result.name}")
def test_a_result_is_a_fraction_of_a_joint_or_limb_that_exists_and_has_a_source(result: PublishedResult) -> None:
    skeleton = {"lsp": LSP14, "flic": FLIC10}[result.data]
    assert result.source
    assert result.kinds or result.means
    assert all(0 < value < 1 for value in (*result.kinds.values(), *result.means.values()))
    assert set(result.kinds) <= set(limb_kinds(skeleton) if result.metric == "pcp" else skeleton.joint_kinds)
    assert set(result.means) <= {"mean", "mean_arms_legs"}
    row = json.loads(json.dumps(result.as_row()))
    assert (row["name"], row["source"], row["unverified"]) == (result.name, result.source, result.unverified)
    values = row[result.metric]
    assert values.get("limbs" if result.metric == "pcp" else "joints", {}) == result.kinds


def test_results_quoted_from_memory_of_the_paper_are_marked() -> None:
    assert {result.unverified for result in PUBLISHED if "Toshev" in result.source} == {True}


@pytest.mark.parametrize(
    "result", [result for result in PUBLISHED if len(result.kinds) == 4], ids=lambda result: result.name
)
def test_means_over_arms_and_legs_agree_with_their_limbs(result: PublishedResult) -> None:
    """To what rounding to two digits leaves."""
    assert sum(result.kinds.values()) / 4 == pytest.approx(result.means["mean_arms_legs"], abs=0.006)


def test_results_that_may_measure_something_else_have_a_note() -> None:
    marked = {result.name for result in PUBLISHED if result.note.startswith("not comparable for sure: ")}
    assert marked == {result.name for result in PUBLISHED if result.name.startswith(("CPM", "deeppose_tf"))} != set()


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
