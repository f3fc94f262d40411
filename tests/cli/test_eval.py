"""`deeppose eval` from flags to files, on a data set of a few images and a cascade that returns the labels."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import cv2
import numpy as np
import pytest

from deeppose_cli.checkpoints import lightning, pretrained
from deeppose_cli.checkpoints.run_folder import StageFolder
from deeppose_cli.cli.app import main
from deeppose_cli.config.defaults import Split
from deeppose_cli.config.presets import PRESETS
from deeppose_cli.config.run import StageRunConfig
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.skeleton import BUFFY10, FLIC10, LSP14, Skeleton
from deeppose_cli.data.datasets import registry
from deeppose_cli.data.datasets.spec import SPLITS
from deeppose_cli.evaluation.metrics import observer_centric
from deeppose_cli.evaluation.published_results import TEST_IMAGES
from deeppose_cli.visualization import figures
from tests.helpers.memory import dataset, with_rows
from tests.helpers.weights_files import RECORD, write
from tests.helpers.weights_files import tiny_metadata as weights_description

N = 6


def few(folder: Path, skeleton: Skeleton = LSP14, seed: int = 0) -> Annotations:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    files = tuple(folder / f"im{i}.png" for i in range(N))
    for i, file in enumerate(files):
        cv2.imwrite(str(file), np.full((60, 50, 3), (i, 0, 0), np.uint8))
    poses = rng.uniform(5, 45, (N, len(skeleton), 2))
    return Annotations(skeleton, files, poses, np.full((N, 4), np.nan), tuple(file.name for file in files))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Sets `demo` (14 joints), `upper` (10 joints), `bare` (no training images), `sticks` (for evaluation only; its
    test part is empty), and no run."""
    parts = {split: few(tmp_path / "data" / split, seed=i) for i, split in enumerate(SPLITS)}
    upper = {split: few(tmp_path / "data" / f"upper-{split}", FLIC10, i) for i, split in enumerate(SPLITS)}
    buffy = few(tmp_path / "data" / "buffy", BUFFY10)
    sets = {
        "demo": dataset("demo", LSP14, lambda root: parts),
        "upper": dataset("upper", FLIC10, lambda root: upper),
        "bare": dataset("bare", LSP14, lambda root: {**parts, "train": parts["train"].take([])}),
        "sticks": replace(
            dataset("sticks", BUFFY10, lambda root: {"train": buffy, "validation": buffy, "test": buffy.take([])}),
            evaluation_only=True,
        ),
    }
    monkeypatch.setattr(registry, "DATASETS", sets)
    monkeypatch.chdir(tmp_path)
    # To draw takes seconds, and the figures have tests of their own.
    if "real_figures" not in request.fixturenames:
        for name in ("pdj_figure", "comparison_figure", "reliability_figure", "contact_sheet"):
            monkeypatch.setattr(figures, name, lambda *args: None)
        monkeypatch.setattr(figures, "save", lambda figure, *paths: [])
    return tmp_path


@pytest.fixture
def real_figures() -> None:
    """Draw the figures in this test."""


def truth(split: str = "test") -> Annotations:
    return registry.DATASETS["demo"].read(Path())[split]


def make_run(name: str = "mine", data: str = "demo", stages: int = 2) -> None:
    for stage in range(1, stages + 1):
        folder = StageFolder(Path("lightning_logs", name, f"stage{stage}"), stage)
        settings = PRESETS["tiny"].initial if stage == 1 else PRESETS["tiny"].refinement
        folder.write_config(StageRunConfig(name, stage, data, LSP14.to_mapping(), "image", True, settings))
        folder.best.write_bytes(b"")


@pytest.fixture
def run(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run `mine` of two stages; the first is far off, the second right."""

    class Oracle:
        skeleton = LSP14

        def __init__(self, folder: Any, stages: int | None = None) -> None:
            self.num_stages = stages or 2

        def predict(self, images: Any, boxes: Any, *, flip_test: bool) -> SimpleNamespace:
            right = truth().keypoints[[int(image[0, 0, 2]) for image in images]]
            if flip_test:
                right = right + 1000
            poses = np.stack([right + 100, right])[: self.num_stages]
            return SimpleNamespace(poses=poses, confidence=np.full(poses.shape[:-1], np.nan))

    make_run()
    monkeypatch.setattr(lightning, "load_cascade", Oracle)
    return here


def scored(capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, Any]:
    """The document of `eval --json`, which must be all of stdout."""
    assert main(["eval", "--json", *flags]) == 0
    return json.loads(capsys.readouterr().out)


def failed(capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str]:
    code = main(["eval", *flags])
    streams = capsys.readouterr()
    assert streams.out == ""
    *before, error = streams.err.splitlines()
    assert all(line.startswith("model: ") for line in before)
    return code, error


def pdj(document: dict[str, Any]) -> dict[str, float]:
    return {row["name"]: row["pdj"]["mean"] for row in document["rows"]}


# --- With a run ---------------------------------------------------------------------------------------------------


def test_the_flip_test_is_the_cascades_and_is_noted(run: Path, capsys: Any) -> None:
    plain, flipped = scored(capsys), scored(capsys, "--flip-test")
    assert (pdj(plain)["stage 2"], pdj(flipped)["stage 2"]) == (1, 0)
    assert "flip_test" not in plain
    assert flipped["flip_test"] is True


def test_without_flags_it_scores_the_newest_run_and_writes_the_files(
    real_figures: None, run: Path, capsys: Any
) -> None:
    assert main(["eval"]) == 0
    printed, notes = capsys.readouterr()
    folder = Path("lightning_logs/mine/eval/demo-test")
    first = "model: run mine in lightning_logs (2 stages); pretrained weights: --weights NAME"
    assert notes.splitlines()[0] == first
    files = ["scores.json", "per-image.csv"]
    files += ["pdj.png", "pdj.svg", "poses.png"]
    assert sorted(file.name for file in folder.iterdir()) == sorted(files)
    assert printed.splitlines()[-5:] == [str(folder / file) for file in files]
    assert [name for name in ("mean pose", "stage 1", "stage 2") if name in printed] == [
        "mean pose",
        "stage 1",
        "stage 2",
    ]
    document = json.loads((folder / "scores.json").read_text())
    assert (document["data"], document["split"], document["images"], document["run"]) == ("demo", "test", N, "mine")
    scores = pdj(document)
    assert list(scores) == ["mean pose", "stage 1", "stage 2"]
    assert 0 == scores["stage 1"] <= scores["mean pose"] < scores["stage 2"] == 1
    assert len((folder / "per-image.csv").read_text().splitlines()) == 1 + 3 * N


def test_json_is_the_document_and_nothing_else_and_equals_the_file(run: Path, capsys: Any) -> None:
    document = scored(capsys, "--out", "here/below", "--pcp-rule", "buffy")
    assert document == json.loads(Path("here/below/scores.json").read_text())
    assert {row["pcp"]["rule"] for row in document["rows"]} == {"buffy"}


def test_one_stage_alone(run: Path, capsys: Any) -> None:
    assert list(pdj(scored(capsys, "--stage", "2"))) == ["mean pose", "stage 2"]
    assert pdj(scored(capsys, "--stage", "1"))["stage 1"] == 0


def test_an_unreadable_image_is_reported_counted_and_wrong(run: Path, capsys: Any) -> None:
    truth().files[2].write_bytes(b"")
    assert main(["eval"]) == 0
    streams = capsys.readouterr()
    assert "im2.png: the file is empty" in streams.err
    assert f"1 of {N} images could not be read" in streams.out
    document = scored(capsys)
    assert document["unreadable"] == 1
    assert pdj(document)["stage 2"] == pytest.approx((N - 1) / N, abs=1e-6)


def test_no_readable_image_is_an_error(run: Path, capsys: Any) -> None:
    for file in truth().files:
        file.write_bytes(b"")
    assert main(["eval"]) == 1
    assert f"none of the {N} images could be read" in capsys.readouterr().err


def test_a_set_with_other_joints_is_scored_by_name(run: Path, capsys: Any) -> None:
    assert main(["eval", "--data", "upper", "--json"]) == 0
    streams = capsys.readouterr()
    assert "run mine does not predict nose: scored over 9 of 10 joints" in streams.err
    assert "stage 1, stage 2: over 9 of 10 joints, –: not predicted by the model" in streams.err
    document = json.loads(streams.out)
    mean, first, second = document["rows"]
    assert list(first["pcp"]["limbs"]) == ["upper_arm", "lower_arm", "torso"]
    assert len(mean["joints_scored"]) == len(document["joints"]) == 10
    assert "nose" not in second["joints_scored"]
    assert (first["pdj"]["joints"]["nose"], first["pdj"]["interval"]["joints"]["nose"]) == (None, None)
    assert second["pdj"]["mean"] is not None


def test_a_set_without_training_images_takes_the_mean_pose_of_the_runs_own(run: Path, capsys: Any) -> None:
    Path("data/demo").mkdir()
    document = scored(capsys, "--data", "bare")
    assert list(pdj(document)) == ["mean pose", "stage 1", "stage 2"]
    assert pdj(document)["mean pose"] == pdj(scored(capsys))["mean pose"]
    found = scored(capsys, "--data", "sticks", "--split", "train")["rows"][0]
    assert (found["name"], len(found["joints_scored"])) == ("mean pose", 9)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data", "bare"], "bare has no training images, and demo, the run's own set, is not in data"),
        (["--data", "bare", "--predictions", "whole.npz"], "bare has no training images"),
        (["--data", "sticks", "--split", "train"], "sticks is not for training, and demo, the run's own set"),
    ],
)
def test_where_no_training_images_are_there_is_no_mean_pose(
    run: Path, capsys: Any, flags: list[str], message: str
) -> None:
    np.savez("whole.npz", keypoints=truth().keypoints)
    assert main(["eval", "--json", *flags]) == 0
    streams = capsys.readouterr()
    assert "mean pose" not in pdj(json.loads(streams.out))
    assert f"no row 'mean pose': {message}" in streams.err


def test_buffys_rule_reports_which_rows_cannot_be_matched(run: Path, capsys: Any) -> None:
    np.savez("whole.npz", keypoints=registry.DATASETS["sticks"].read(Path())["train"].keypoints)
    flags = ["--data", "sticks", "--split", "train", "--pcp-rule", "buffy", "--metric", "pcp", "--json"]
    assert main(["eval", *flags, "--run", "mine", "--predictions", "whole.npz"]) == 0
    streams = capsys.readouterr()
    assert "stage 1, stage 2: no head or torso to match windows by; the stick rule alone is applied" in streams.err
    assert "whole.npz, official scorer: 100.0 % detected × 100.0 % of their limbs = 100.0 %" in streams.err
    first, *_, last = json.loads(streams.out)["rows"]
    assert "buffy_official" not in first["pcp"]
    assert last["pcp"]["buffy_official"] == {
        "detection_rate": 1,
        "pcp_of_detected": 1,
        "total": 1,
        "limbs_of_detected": {"upper_arm": 1, "lower_arm": 1, "torso": 1, "head": 1},
    }


def test_a_run_and_files_side_by_side(run: Path, capsys: Any) -> None:
    np.savez("them.npz", keypoints=truth().keypoints)
    document = scored(capsys, "--run", "mine", "--predictions", "them.npz")
    assert list(pdj(document)) == ["mean pose", "stage 1", "stage 2", "them.npz"]


@pytest.mark.parametrize("width", [80, 120])
def test_tables_are_neither_cut_nor_wrapped(run: Path, capsys: Any, monkeypatch: Any, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    np.savez("mediapipe.npz", keypoints=truth().keypoints)
    assert main(["eval", "--metric", "all", "--run", "mine", "--predictions", "mediapipe.npz"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.startswith("stage 2")]
    mean = ["100.0", "±0.0"]
    expected = [["100.0"] * 8 + [*mean, "100.0"], ["100.0"] * 6 + mean * 2, *[["100.0"] * 8 + mean] * 2]
    expected += [["100.0"] * 6, ["0.0"] * 9 + ["±0.0", "0.0"]]
    assert [[cell if cell != "–" else "100.0" for cell in row[2:]] for row in rows] == expected
    assert max(len(line) for line in lines if "/" not in line) <= width
    assert not any("…" in line for line in lines)
    titles = [line for line in lines if line.startswith(("PDJ", "PCP", "PCK", "OKS", "RMSE"))]
    assert [title.split()[0].strip(",") for title in titles] == ["PDJ", "PCP", "PCK", "PCKh", "OKS", "RMSE"]
    assert all(": demo test" in title for title in titles)


def test_published_results_are_below_the_rows_and_not_among_them(run: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(registry.DATASETS, "lsp", replace(registry.DATASETS["demo"], name="lsp"))
    monkeypatch.setitem(TEST_IMAGES, "lsp", N)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["eval", "--data", "lsp", "--metric", "pcp"]) == 0
    lines = capsys.readouterr().out.splitlines()
    places = [
        next(i for i, line in enumerate(lines) if line.startswith(name)) for name in ("stage 2", "DeepPose stage")
    ]
    assert places == sorted(places)
    assert lines[places[1]].split()[:7] == ["DeepPose", "stage", "1*", "50.0", "27.0", "74.0", "65.0"]
    assert "* quoted from memory of the paper, unverified" in lines
    assert max(len(line) for line in lines if "/" not in line) <= 80
    document = scored(capsys, "--data", "lsp")
    assert list(pdj(document)) == ["mean pose", "stage 1", "stage 2"]
    marked = {row["name"]: row["unverified"] for row in document["published"]}
    assert marked["DeepPose stage 3"]
    assert not marked["MediaPipe Pose"]
    for other in (["--centric", "observer"], ["--split", "validation"], ["--box", "0,0,9,9"]):
        assert scored(capsys, "--data", "lsp", *other)["published"] == []


def test_files_alone_are_compared_with_published_results_whatever_the_usual_box(
    here: Path, capsys: Any, monkeypatch: Any
) -> None:
    """Files may use any box; the mean pose starts from one that needs no detector."""
    face = replace(registry.DATASETS["upper"], name="flic", initial_box="face")
    monkeypatch.setitem(registry.DATASETS, "flic", face)
    monkeypatch.setitem(TEST_IMAGES, "flic", N)
    np.savez("them.npz", keypoints=face.read(Path())["test"].keypoints)
    flags = ["--data", "flic", "--predictions", "them.npz"]
    assert [row["name"] for row in scored(capsys, *flags)["published"]] == ["DeepPose", "MediaPipe Pose", "CPM"]
    assert scored(capsys, *flags, "--box", "image")["published"] == []


def test_intervals_are_of_as_many_draws_as_the_flag_names(run: Path, capsys: Any) -> None:
    first, again, other = (scored(capsys, "--bootstrap", "100", "--seed", seed) for seed in "112")
    assert first == again
    assert first["rows"][0]["pdj"]["interval"]["draws"] == 100
    assert first["rows"][0]["pdj"]["mean"] == other["rows"][0]["pdj"]["mean"]
    assert first["rows"][0]["pdj"]["interval"] != other["rows"][0]["pdj"]["interval"]
    assert main(["eval", "--bootstrap", "0"]) == 0
    assert "±" not in capsys.readouterr().out
    assert "interval" not in scored(capsys, "--bootstrap", "0")["rows"][0]["pdj"]


# --- With weights -------------------------------------------------------------------------------------------------


def make_weights(file: Path, skeleton: Skeleton = LSP14, data: str = "demo", initial_box: str = "image") -> None:
    about = weights_description(skeleton)
    records = (replace(RECORD, data=data),) * 2
    write(file, replace(about, records=records, initial_box=initial_box))


def test_weights_are_scored_in_place_of_a_run(run: Path, capsys: Any) -> None:
    make_weights(Path("ours.safetensors"), initial_box="joints")
    document = scored(capsys, "--weights", "ours.safetensors")
    assert list(pdj(document)) == ["mean pose", "stage 1", "stage 2"]
    assert (document["run"], document["weights"], document["data"]) == (None, "ours", "demo")
    assert document["box"].startswith("joints"), "as they were trained"
    assert Path("lightning_logs/weights-ours/eval/demo-test/scores.json").is_file()
    assert list(pdj(scored(capsys, "--weights", "ours.safetensors", "--stage", "2"))) == ["mean pose", "stage 2"]
    other = scored(capsys, "--weights", "ours.safetensors", "--data", "upper")
    assert other["box"] == "image", "the other set's own"
    assert "weights" not in scored(capsys)


def test_the_mean_pose_is_of_the_weights_own_set_where_the_scored_one_has_none(run: Path, capsys: Any) -> None:
    make_weights(Path("ours.safetensors"))
    assert main(["eval", "--weights", "ours.safetensors", "--data", "bare"]) == 0
    assert "demo, the weights' own set, is not in data" in capsys.readouterr().err
    Path("data/demo").mkdir()
    assert "mean pose" in pdj(scored(capsys, "--weights", "ours.safetensors", "--data", "bare"))


def test_without_a_run_the_pretrained_weights_are_scored_on_any_set(here: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(pretrained, "FOLDER", here / "box")
    make_weights(here / "box" / "people.safetensors")
    for flags in ([], ["--data", "demo"], ["--data", "upper"]):
        assert scored(capsys, *flags)["weights"] == "people"
    make_weights(here / "people.safetensors", data="people")
    code, line = failed(capsys, "--weights", "people.safetensors")
    assert code == 2
    assert "--data: needed, as weights people was trained on 'people'; valid: demo, upper" in line


def test_weights_and_files_side_by_side(here: Path, capsys: Any) -> None:
    np.savez("them.npz", keypoints=truth().keypoints)
    make_weights(Path("ours.safetensors"))
    document = scored(capsys, "--weights", "ours.safetensors", "--predictions", "them.npz")
    assert list(pdj(document)) == ["mean pose", "stage 1", "stage 2", "them.npz"]


# --- Files alone --------------------------------------------------------------------------------------------------


def test_files_alone_need_no_run(here: Path, capsys: Any) -> None:
    right = truth().keypoints
    Path("a").mkdir()
    np.savez("them.npz", keypoints=right)
    np.savez("a/them.npz", keypoints=right + 100)
    Path("us.json").write_text(
        json.dumps([{"image_id": f"im{i}.png", "keypoints": [*right[i, 0], 2] + [0] * 39} for i in range(N)])
    )
    flags = [part for file in ("them.npz", "a/them.npz", "us.json") for part in ("--predictions", file)]
    document = scored(capsys, "--data", "demo", *flags)
    scores = pdj(document)
    assert list(scores) == ["mean pose", "them.npz", "a/them.npz", "us.json"]
    assert (scores["them.npz"], scores["a/them.npz"]) == (1, 0)
    assert scores["us.json"] == pytest.approx(1 / 14, abs=1e-6)
    assert document["run"] is None
    assert Path("lightning_logs/predictions/eval/demo-test/scores.json").is_file()


def test_observer_centric_labels_change_truth_and_predictions_alike(here: Path, capsys: Any) -> None:
    """Predictions with every person's sides changed are right observer-centric and wrong person-centric."""
    right = truth().keypoints
    np.savez("changed.npz", keypoints=right[:, LSP14.mirror])
    assert (observer_centric(right, LSP14) != right).any()
    person = pdj(scored(capsys, "--data", "demo", "--predictions", "changed.npz"))
    observer = pdj(scored(capsys, "--data", "demo", "--predictions", "changed.npz", "--centric", "observer"))
    assert person["changed.npz"] < 0.5
    assert observer["changed.npz"] == 1


def test_observer_centric_predictions_score_as_their_person_centric_originals(here: Path, capsys: Any) -> None:
    person = truth().keypoints + np.random.default_rng(0).normal(0, 2, (N, 14, 2))
    observer = observer_centric(person, LSP14)
    assert (observer != person).any()
    np.savez("them.npz", keypoints=person)
    expected = scored(capsys, "--data", "demo", "--predictions", "them.npz", "--centric", "observer")
    np.savez("them.npz", keypoints=observer)
    flags = [
        "--data",
        "demo",
        "--predictions",
        "them.npz",
        "--centric",
        "observer",
        "--predictions-centric",
        "observer",
    ]
    document = scored(capsys, *flags)
    assert document["predictions_centric"] == "observer"
    assert document["rows"] == expected["rows"]
    assert 0.5 < pdj(document)["them.npz"] < 1


def test_confused_sides_of_observer_centric_predictions_are_wrong_only_with_the_flag(here: Path, capsys: Any) -> None:
    """Without the flag the predictions are relabelled by their own torsos, which takes the confusion away."""
    np.savez("confused.npz", keypoints=observer_centric(truth().keypoints, LSP14)[:, LSP14.mirror])
    flags = ["--data", "demo", "--predictions", "confused.npz", "--centric", "observer"]
    assert pdj(scored(capsys, *flags))["confused.npz"] == 1
    assert pdj(scored(capsys, *flags, "--predictions-centric", "observer"))["confused.npz"] < 0.5


def test_the_flag_of_predictions_leaves_the_models_rows_alone(run: Path, capsys: Any) -> None:
    np.savez("them.npz", keypoints=truth().keypoints)
    flags = ["--run", "mine", "--predictions", "them.npz", "--centric", "observer"]
    document = scored(capsys, *flags)
    flagged = scored(capsys, *flags, "--predictions-centric", "observer")
    assert document["rows"][:3] == flagged["rows"][:3]
    assert document["rows"][3] != flagged["rows"][3]


@pytest.mark.slow
def test_files_alone_import_no_network(here: Path) -> None:
    """In a process of its own, as this one has torch already."""
    np.savez("them.npz", keypoints=truth().keypoints)
    np.savez("labels.npz", keypoints=truth().keypoints)
    script = """if True:
        import sys
        from pathlib import Path
        import numpy as np
        from deeppose_cli.cli.app import main
        from deeppose_cli.core.annotations import Annotations
        from deeppose_cli.core.skeleton import LSP14
        from deeppose_cli.data.datasets import registry
        from tests.helpers.memory import dataset
        from deeppose_cli.visualization import figures
        points = np.load("labels.npz")["keypoints"]
        files = tuple(Path(f"data/test/im{i}.png") for i in range(len(points)))
        part = Annotations(LSP14, files, points, np.full((len(points), 4), np.nan), tuple(f.name for f in files))
        read = lambda root: {"train": part, "validation": part, "test": part}
        registry.DATASETS["demo"] = dataset("demo", LSP14, read)
        figures.pdj_figure = figures.contact_sheet = lambda *args: None
        figures.save = lambda *args: []
        code = main(["eval", "--data", "demo", "--predictions", "them.npz"])
        print(sorted({"torch", "lightning", "torchvision", "torchmetrics"} & sys.modules.keys()))
        sys.exit(code)
    """
    ran = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_help_imports_nothing_heavy() -> None:
    script = """if True:
        import sys
        from deeppose_cli.cli.app import main
        main(["eval", "--help"])
        print(sorted({"torch", "numpy", "matplotlib", "cv2", "scipy", "rich"} & sys.modules.keys()))
    """
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
    assert "--pcp-rule" in ran.stdout


def test_files_alone_without_a_mean_pose_take_no_initial_box(here: Path, capsys: Any) -> None:
    np.savez("them.npz", keypoints=truth().keypoints)
    assert main(["eval", "--json", "--data", "bare", "--predictions", "them.npz"]) == 0
    streams = capsys.readouterr()
    assert not {"box", "box_found_rate"} & json.loads(streams.out).keys()
    assert "initial box" not in streams.err
    assert scored(capsys, "--data", "demo", "--predictions", "them.npz")["box"] == "image"


def test_images_without_prediction_are_reported_and_counted(here: Path, capsys: Any) -> None:
    poses = truth().keypoints.copy()
    np.savez("all.npz", keypoints=poses)
    poses[1:3] = np.nan
    np.savez("some.npz", keypoints=poses)
    flags = ["--data", "bare", "--predictions", "all.npz", "--predictions", "some.npz"]
    assert main(["eval", "--json", *flags]) == 0
    streams = capsys.readouterr()
    assert f"some.npz: no prediction for 2 of {N} images; counted as wrong\n" in streams.err
    assert "all.npz: no prediction" not in streams.err
    rows = json.loads(streams.out)["rows"]
    assert {row["name"]: row["images_without_prediction"] for row in rows} == {"all.npz": 0, "some.npz": 2}


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--predictions", "them.npz"], 2, "add --data NAME; valid: demo, upper"),
        (["--predictions", "none.npz", "--data", "demo"], 1, "none.npz: no such file"),
        (["--predictions", "them.txt", "--data", "demo"], 2, "them.txt: unknown kind of file"),
    ],
)
def test_faults_of_files_are_reported_before_a_set_is_read(
    here: Path, capsys: Any, monkeypatch: Any, flags: list[str], code: int, message: str
) -> None:
    def read(root: Path) -> dict[str, Annotations]:
        raise AssertionError("read, and so drawn")

    monkeypatch.setitem(registry.DATASETS, "demo", with_rows(registry.DATASETS["demo"], read))
    Path("them.npz").write_bytes(b"")
    found, line = failed(capsys, *flags)
    assert found == code
    assert message in line


def test_a_failure_leaves_the_files_of_before(run: Path, capsys: Any, monkeypatch: Any) -> None:
    scored(capsys, "--out", "here")
    before = {file: file.read_bytes() for file in Path("here").iterdir()}

    def full(figure: Any, *paths: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figures, "save", full)
    code, line = failed(capsys, "--out", "here", "--bootstrap", "0")
    assert code == 1
    assert "--out here: cannot be written (No space left on device)" in line
    assert {file: file.read_bytes() for file in Path("here").iterdir()} == before


# --- Mistakes -----------------------------------------------------------------------------------------------------


def test_without_a_run_the_error_names_the_command(here: Path, capsys: Any) -> None:
    code, message = failed(capsys)
    assert code == 1
    assert "deeppose train --stage 1" in message


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--stage", "0"], 2, "--stage 0: valid: all, or the number of a stage"),
        (["--stage", "two"], 2, "--stage two: valid: all"),
        (["--stage", "²"], 2, "--stage ²: valid: all"),
        (["--metric", "map"], 2, "'pdj', 'pcp', 'pck', 'pckh', 'oks', 'rmse', 'all'"),
        (["--box", "head"], 2, "--box head: unknown; valid: image, own, face, torso, person, auto, joints, or x,y,w,h"),
        (["--data", "coco"], 2, "--data coco: unknown; valid: demo, upper, bare, sticks"),
        (["--data", "bare", "--split", "train"], 2, "--split train: bare has no images in it; valid: validation, test"),
        (["--data", "sticks"], 2, "--split test: sticks has no images in it; valid: train, validation"),
        (
            ["--data", "sticks", "--split", "train", "--centric", "observer"],
            2,
            "--centric observer: sticks has no left_hip",
        ),
        (["--bootstrap", "99"], 2, "--bootstrap 99: too few draws for an interval; valid: 0 or at least 100"),
        (["--bootstrap", "-1"], 2, "--bootstrap"),
        (
            ["--predictions-centric", "observer", "--predictions", "whole.npz"],
            2,
            "--predictions-centric observer: valid with --centric observer only",
        ),
        (
            ["--predictions-centric", "observer", "--centric", "observer"],
            2,
            "--predictions-centric observer: there are no predictions; add --predictions FILE",
        ),
        (["--seed", "-1"], 2, "--seed -1: valid: 0 or more"),
        (["--run", "mine", "--weights", "x"], 2, "--run mine and --weights x exclude each other"),
        (["--weights", "x"], 2, "--weights x: no such file; valid: a file"),
        (["--weights", "whole.npz"], 1, "whole.npz: not a weights file of deeppose"),
        (["--stage", "3"], 2, "--stage 3: run mine has 2 trained stage(s); valid: 1 to 2"),
        (["--run", "other"], 1, "--run other: no trained stage"),
        (["--predictions", "none.npz"], 1, "none.npz: no such file"),
        (["--predictions", "small.npz"], 1, r"small.npz: keypoints has shape (5, 14, 2); expected (6, 14, 2)"),
        (["--predictions", "whole.npz", "--flip-test"], 2, "--flip-test: with --predictions alone no network is run"),
        (["--predictions", "whole.npz", "--stage", "1"], 2, "--stage 1: with --predictions alone no stage is scored"),
        (["--predictions", "whole.npz", "--predictions", "whole.npz"], 2, "--predictions whole.npz: given twice"),
        (["--batch-size", "0"], 2, "--batch-size"),
        (["--out", "whole.npz"], 2, "--out whole.npz: whole.npz is not a folder"),
        (["--out", "whole.npz/a/b"], 2, "--out whole.npz/a/b: whole.npz is not a folder"),
        (["--out", "/proc/none"], 1, "--out /proc/none: cannot be written"),
        (
            ["--data", "bare", "--predictions", "whole.npz", "--box", "own"],
            2,
            "--box own: no row starts from an initial",
        ),
    ],
)
def test_mistakes_are_one_line(run: Path, capsys: Any, flags: list[str], code: int, message: str) -> None:
    np.savez("whole.npz", keypoints=truth().keypoints)
    np.savez("small.npz", keypoints=truth().keypoints[1:])
    found, line = failed(capsys, *flags)
    assert message in line
    assert found == code
    assert not list(Path().rglob("eval"))


def test_the_splits_are_those_of_the_data_sets() -> None:
    """They are written down twice, since the flags must not import NumPy."""
    assert get_args(Split) == SPLITS
