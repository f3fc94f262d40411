"""`deeppose predict`, with a cascade that predicts at once."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as PilImage

from deeppose_cli.checkpoints import pretrained
from deeppose_cli.cli.app import main
from tests.helpers.fakes import FakeCascade
from tests.helpers.run_configs import write_config
from tests.helpers.weights_files import write


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with two images, a run of two stages, and its cascade. The file `loaded` names the model."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.jpg"):
        PilImage.fromarray(np.full((60, 40, 3), 90, np.uint8)).save(name)
    for stage in (1, 2):
        folder = Path("lightning_logs", "demo", f"stage{stage}", "checkpoints")
        folder.mkdir(parents=True)
        (folder / "best.ckpt").write_bytes(b"weights")
        write_config(folder.parent, data="lsp", max_epochs=1)
        (folder.parent / "metrics.csv").write_text("epoch\n1\n")

    def load_cascade(run: SimpleNamespace, stages: int) -> FakeCascade:
        Path("loaded").write_text(f"{run.name} {stages}")
        return FakeCascade()

    # In place of the real module, so that no Trainer is imported either.
    monkeypatch.setitem(sys.modules, "deeppose_cli.checkpoints.lightning", SimpleNamespace(load_cascade=load_cascade))
    return tmp_path


def test_the_newest_finished_run_and_all_its_stages_are_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "a.jpg", "b.jpg", "--box", "image"]) == 0
    assert Path("loaded").read_text() == "demo 2"
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("model: run demo in lightning_logs (2 stages); pretrained weights: --weights NAME\n")
    assert out.endswith("\na.jpg  1 person\nb.jpg  1 person\n2 images, 2 people\nresults: predictions\n")
    assert len(json.loads(Path("predictions/predictions.json").read_text())) == 2


def test_names_are_whole_and_in_a_column(capsys: pytest.CaptureFixture[str]) -> None:
    long = "a_name_that_is_much_longer_than_the_others_and_would_move_the_column.jpg"
    shutil.copy("a.jpg", long)
    assert main(["predict", "a.jpg", long, "--box", "1,2.5,30,40"]) == 0
    assert capsys.readouterr().out.endswith(
        f"\na.jpg  1 person\n{long}  1 person\n2 images, 2 people\nresults: predictions\n"
    )


def test_stage_stops_the_cascade_early() -> None:
    assert main(["predict", "a.jpg", "--stage", "1"]) == 0
    assert Path("loaded").read_text() == "demo 1"


def test_the_flip_test_is_the_cascades(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for flags in ([], ["--flip-test"]):
        assert main(["predict", "a.jpg", "--box", "image", "--json", *flags]) == 0
        found.append(json.loads(capsys.readouterr().out)[0]["keypoints"][:2])
    assert found[1] == pytest.approx([found[0][0] + 1, found[0][1]])


def test_json_has_stdout_for_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "a.jpg", "missing.jpg", "--box", "image", "--json", "--out", "elsewhere"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads(Path("elsewhere/predictions.json").read_text())
    assert "skipped: missing.jpg" in err
    assert "1 image, 1 person, 1 skipped" in err


def test_bad_images_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    Path("bad.jpg").write_bytes(b"\xff\xd8\xff")
    assert main(["predict", "a.jpg", "bad.jpg", "empty", "--box", "image"]) == 1
    out, err = capsys.readouterr()
    assert "1 image, 1 person, 2 skipped" in out
    assert [line.split(":")[1].strip() for line in err.splitlines()] == ["empty", "bad.jpg"]


def test_a_name_of_many_lines_is_printed_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "two\nlines \U0001f600 \udcff.jpg"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("skipped: two\\nlines \U0001f600 \\udcff.jpg: cannot be read")
    assert err.count("\n") == 1


def test_no_image_at_all_leaves_no_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "missing.jpg"]) == 1
    assert "0 images, 0 people, 1 skipped" in capsys.readouterr().out
    assert not Path("predictions").exists()


def test_a_mistyped_name_costs_no_results_and_a_replaced_run_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "a.jpg"]) == 0
    before = Path("predictions/predictions.json").read_bytes()
    capsys.readouterr()
    assert main(["predict", "missing.jpg", "--json"]) == 1
    assert capsys.readouterr().out == "[]\n"
    assert Path("predictions/predictions.json").read_bytes() == before
    assert main(["predict", "b.jpg"]) == 0
    assert capsys.readouterr().err == "predictions: results of an earlier run are replaced\n"


def test_boxes_of_other_images_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("boxes.csv").write_text("image,x,y,w,h\nc.jpg,1,1,20,20\n")
    assert main(["predict", "a.jpg", "--box", "boxes.csv"]) == 2
    assert "has no box for any of these images, such as a.jpg" in capsys.readouterr().err
    Path("boxes.csv").write_text("image,x,y,w,h\na.jpg,1,1,20,20\na.jpg,2,2,20,20\n")
    assert main(["predict", "a.jpg", "b.jpg", "--box", "boxes.csv", "--no-overlays", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["image_id"], one["overlay"]) for one in found] == [("a.jpg", None)] * 2


def test_rows_of_a_boxes_file_without_an_image_are_counted_and_images_without_a_box_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("boxes.csv").write_text("image,x,y,w,h\na.jpg,1,1,20,20\nc.jpg,1,1,20,20\n")
    assert main(["predict", "a.jpg", "b.jpg", "--box", "boxes.csv"]) == 0
    out, err = capsys.readouterr()
    assert err == "--box boxes.csv: 1 row(s) name no image of the input: c.jpg\n"
    assert "2 images, 1 person, 1 image without people (try --box image)\n" in out
    assert "nobody" in out


def test_long_paths_stay_whole(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = workplace / ("x" * 90 + ".jpg")
    Path("a.jpg").rename(long)
    assert main(["predict", str(long)]) == 0
    assert capsys.readouterr().out.count("x" * 90) == 1


def test_a_long_list_is_cut_short(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("deeppose_cli.cli.predict_output.ROWS_SHOWN", 1)
    assert main(["predict", "a.jpg", "b.jpg"]) == 0
    out = capsys.readouterr().out
    assert "b.jpg" not in out
    assert "and 1 more" in out


def test_weights_in_place_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("ours.safetensors"))
    assert main(["predict", "a.jpg", "--weights", "ours.safetensors", "--stage", "1"]) == 0
    assert "model: weights ours.safetensors (1 of 2 stages); a run: --run NAME" in capsys.readouterr().out
    assert main(["predict", "a.jpg", "--weights", "ours.safetensors", "--stage", "3"]) == 2
    assert "--stage 3: weights ours has 2 trained stage(s); valid: 1 to 2" in capsys.readouterr().err
    assert not Path("loaded").exists()


def test_without_a_run_the_pretrained_weights_are_used(
    capsys: pytest.CaptureFixture[str], workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "FOLDER", workplace / "pretrained")
    write(workplace / "pretrained" / "people.safetensors")
    assert main(["predict", "a.jpg", "--runs-root", "nowhere", "--box", "image", "--json"]) == 0
    out, err = capsys.readouterr()
    assert len(json.loads(out)[0]["stages"]) == 2
    assert err.startswith("model: pretrained weights people (2 stages); a run: --run NAME\n")


@pytest.mark.parametrize(
    ("flags", "code", "line"),
    [
        (["--stage", "3"], 2, "--stage 3: run demo has 2 trained stage(s); valid: 1 to 2"),
        (["--stage", "0"], 2, "--stage 0: run demo has 2 trained stage(s); valid: 1 to 2"),
        (["--box", "torso"], 2, "--box torso: "),
        (["--run", "lsp"], 1, "--run lsp: no trained stage"),
        (["--weights", "people"], 2, "--weights people: not in this installation; valid: a file"),
        (["--weights", "a.jpg"], 1, "a.jpg: not a weights file of deeppose, or damaged ("),
        (["--weights", "a.jpg", "--run", "demo"], 2, "--run demo and --weights a.jpg exclude each other"),
        (["--runs-root", "nowhere"], 1, "no finished run on real images in nowhere, and no people weights"),
        (["--out", "a.jpg"], 1, "--out a.jpg: not a folder"),
    ],
)
def test_mistakes_are_one_line_and_load_nothing(
    flags: list[str], code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "b.jpg", *flags]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {line}")
    assert err.count("\n") == 1
    assert not Path("loaded").exists()
