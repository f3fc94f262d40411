"""The file of the network that finds people: it computes what a direct reading of the published values computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeppose_cli.detection.person_detector import FILE
from deeppose_cli.exporting import finder
from deeppose_cli.exporting.finder import OUTPUTS, build_finder
from tests.models.test_movenet import published, reference

SHARED = Path(__file__).parents[3] / "shared/data/movenet/movenet_multipose.safetensors"


def images(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (1, 3, height, width), generator=torch.Generator().manual_seed(height)).float()


@torch.no_grad()
def expected(values: dict[str, Tensor], rgb: Tensor) -> list[NDArray[np.float32]]:
    return [reference(values, rgb, head).numpy() for head in OUTPUTS]


@pytest.fixture(scope="module")
def values() -> dict[str, Tensor]:
    return published(heads=OUTPUTS)


@pytest.fixture(scope="module")
def file(values: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("finder") / "finder.onnx"
    path.write_bytes(build_finder({name: value.numpy() for name, value in values.items()}).SerializeToString())
    return path


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160), (128, 64)])
def test_it_computes_the_published_network(file: Path, values: dict[str, Tensor], height: int, width: int) -> None:
    rgb = images(height, width)
    found = ort.InferenceSession(str(file)).run(list(OUTPUTS), {"image": (rgb / 127.5 - 1).numpy()})
    for one, wanted in zip(found, expected(values, rgb), strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


def test_values_are_stored_in_half_precision(file: Path, values: dict[str, Tensor]) -> None:
    assert file.stat().st_size < 2.2 * sum(value.numel() for value in values.values())


@pytest.mark.skipif(not SHARED.exists(), reason="without the published values")
def test_the_file_of_the_package_is_made_of_the_published_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "finder.onnx"
    monkeypatch.setattr("sys.argv", ["finder", str(SHARED), str(made)])
    assert finder.main() == 0
    assert made.read_bytes() == FILE.read_bytes()


def test_other_values_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import save_file

    save_file({"conv1.weight": torch.zeros(1, 3, 3, 3)}, tmp_path / "other.safetensors")
    monkeypatch.setattr("sys.argv", ["finder", str(tmp_path / "other.safetensors"), str(tmp_path / "finder.onnx")])
    assert finder.main() == 1
    assert "no values of MoveNet MultiPose: lacks 'blocks.0.depthwise.weight'" in capsys.readouterr().err
    assert not (tmp_path / "finder.onnx").exists()
