"""`deeppose data add` and `data remove`: what is printed, and the whole way to poses of a skeleton without sides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deeppose_cli.cli.app import main
from tests.helpers import robot_arm

ADD = ["data", "add", "arm", "--annotations", "labelled/annotations.json"]


@pytest.fixture
def arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return robot_arm.draw(Path("labelled"), 16)


@pytest.mark.usefixtures("arm")
def test_what_was_added_is_printed_with_what_to_type_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ADD, "--test-share", "0.25"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("arm is in data/arm: train 10 people in 10 images, validation 2 people in 2 images, test 4")
    assert "mirror pairs: none: a mirrored image swaps nothing" in out
    assert "unit of scores and crops: the diagonal of the pose's box; initial box: own" in out
    assert out.endswith("next: deeppose data show arm, then deeppose train --stage 1 --data arm\n")
    assert main(ADD) == 2
    assert capsys.readouterr().err.startswith("error: NAME arm: data/arm is there already; --overwrite replaces")
    assert main(["data", "list"]) == 0
    assert "arm  here: train 10, validation 2, test 4" in capsys.readouterr().out
    assert main(["data", "remove", "arm", "--yes"]) == 0
    assert capsys.readouterr().out == "data/arm is deleted\n"
    assert not Path("data/arm").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("arm")
def test_it_is_trained_refined_scored_exported_and_predicts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ADD, "--test-share", "0.25"]) == 0
    common = ["--preset", "tiny", "--input-size", "32", "--max-epochs", "1", "--workers", "0", "--accelerator", "cpu"]
    assert main(["train", "--stage", "1", "--data", "arm", *common]) == 0
    assert main(["refine", "--stage", "2", *common]) == 0
    capsys.readouterr()
    assert main(["eval", "--json", "--bootstrap", "0"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["data"], document["unit"]) == ("arm", "the diagonal of the pose's box")
    assert [row["name"] for row in document["rows"]] == ["mean pose", "stage 1", "stage 2"]
    assert list(document["rows"][1]["pdj"]["joints"]) == list(robot_arm.JOINTS)
    assert "mean_arms_legs" not in document["rows"][1]["pcp"]
    assert main(["export", "--run", "arm", "--out", "arm.safetensors"]) == 0
    capsys.readouterr()
    image = "labelled/images/arm001.png"
    assert main(["predict", image, "--weights", "arm.safetensors", "--box", "image", "--out", "out", "--json"]) == 0
    found = json.loads(Path("out/predictions.json").read_text())
    assert set(robot_arm.JOINTS) <= set(json.dumps(found).split('"'))


@pytest.mark.usefixtures("arm")
def test_a_skeleton_without_limbs_has_no_pcp(capsys: pytest.CaptureFixture[str]) -> None:
    file = Path("labelled/annotations.json")
    document = json.loads(file.read_text())
    document["categories"][0].pop("skeleton")
    file.write_text(json.dumps(document))
    assert main([*ADD, "--test-share", "0.25"]) == 0
    import numpy as np

    from deeppose_cli.data.datasets.registry import get_dataset

    truth = get_dataset("arm", Path("data")).read(Path("data"))["test"].keypoints
    np.savez("them.npz", keypoints=truth)
    capsys.readouterr()
    assert main(["eval", "--data", "arm", "--predictions", "them.npz", "--bootstrap", "0", "--metric", "all"]) == 0
    out = capsys.readouterr().out
    assert "PDJ at 0.2 of the diagonal of the pose's box, %" in out
    assert "PCP" not in out
    assert "PCKh" not in out
    joints = get_dataset("arm", Path("data")).skeleton.joints
    lines = [line.split() for line in out.splitlines()]
    for joint in joints:  # a line of each joint for PDJ, PCK and RMSE: mean pose and them.npz
        assert [line[2] for line in lines if line[:1] == [joint]] == ["100.0", "100.0", "0.0"]
    assert main(["eval", "--data", "arm", "--predictions", "them.npz", "--metric", "pckh"]) == 2
    assert "--metric pckh: arm has no head limb; valid: pdj, pck, oks, rmse, all" in capsys.readouterr().err
