"""Published figures: in the form of our rows, with their sources, and only where they can be compared."""

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
    return [each.name for each in comparable_results(data, split, images, **{**USUAL, **changed})]


@pytest.mark.parametrize("each", PUBLISHED, ids=lambda each: f"{each.data}-{each.metric}-{each.name}")
def test_a_figure_is_a_fraction_of_a_joint_or_limb_that_exists_and_has_a_source(each: PublishedResult) -> None:
    skeleton = {"lsp": LSP14, "flic": FLIC10}[each.data]
    assert each.source
    assert each.kinds or each.means
    assert all(0 < value < 1 for value in (*each.kinds.values(), *each.means.values()))
    assert set(each.kinds) <= set(limb_kinds(skeleton) if each.metric == "pcp" else skeleton.joint_kinds)
    assert set(each.means) <= {"mean", "mean_arms_legs"}
    row = json.loads(json.dumps(each.as_row()))
    assert (row["name"], row["source"], row["unverified"]) == (each.name, each.source, each.unverified)
    values = row[each.metric]
    assert values.get("limbs" if each.metric == "pcp" else "joints", {}) == each.kinds


def test_what_is_quoted_from_memory_of_the_paper_says_so() -> None:
    assert {each.unverified for each in PUBLISHED if "Toshev" in each.source} == {True}


@pytest.mark.parametrize("each", [each for each in PUBLISHED if len(each.kinds) == 4], ids=lambda each: each.name)
def test_means_over_arms_and_legs_agree_with_their_limbs(each: PublishedResult) -> None:
    """To what rounding to two digits leaves."""
    assert sum(each.kinds.values()) / 4 == pytest.approx(each.means["mean_arms_legs"], abs=0.006)


def test_what_may_measure_something_else_says_so() -> None:
    marked = {each.name for each in PUBLISHED if each.note.startswith("not comparable for sure: ")}
    assert marked == {each.name for each in PUBLISHED if each.name.startswith(("CPM", "deeppose_tf"))} != set()


def test_they_are_shown_beside_what_they_can_be_compared_with() -> None:
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
