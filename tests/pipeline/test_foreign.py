"""Maps of another program: found by id or stem, of any size and kind, and what is missing reported in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import stages.foreign
import stages.methods
import stages.score
from ala.contracts import scores
from ala.contracts.maps import Maps
from ala.data.split import COLUMNS, NAMES
from ala.pipeline.foreign import Foreign, read
from ala.utils.errors import UserError
from tests.stages import toys

IDS = {"val": np.arange(4) + 30, "test": np.arange(6) + 40}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Toys, the lists of their images, and a folder of maps that are the objects themselves."""
    toys.make(tmp_path, monkeypatch, foreign={"lisa": str(tmp_path / "lisa")}, methods=["ala", "lisa"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/splits").mkdir(parents=True)
    (tmp_path / "lisa").mkdir()
    for split in NAMES:
        lines = [f"{image},a/Bird {image}.jpg,0" for image in IDS.get(split, [1])]
        (tmp_path / f"data/splits/{split}.csv").write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
    mask = np.pad(np.ones((8, 8), np.uint8), 4)
    for image in np.concatenate(list(IDS.values())):
        if image % 3 == 0:
            Image.fromarray(255 * mask[::2, ::2]).save(tmp_path / f"lisa/Bird {image}.png")
        elif image % 3 == 1:
            np.save(tmp_path / f"lisa/{image}.npy", mask.astype(np.float64))
        else:
            np.savez(tmp_path / f"lisa/{image}.npz", map=mask > 0)
    return tmp_path


def test_a_folder_of_maps_is_a_method(project: Path) -> None:
    for stage, words in ((stages.methods, ["--out", "cells"]), (stages.score, ["--methods", "lisa"])):
        result = toys.run(stage, project, *words)
        assert result.exit_code == 0, result.output
    maps = Maps.load(project / "maps/lisa/seed-1/lisa/test.npz")
    assert (maps.method, maps.model, maps.importance.shape) == ("lisa", "", (6, toys.SIZE, toys.SIZE))
    table = scores.wide(scores.load(project / "scores/lisa/seed-1/lisa/scores.csv"))
    assert table["iou_fixed"].min() > 0.8
    assert table["insertion"].notna().sum() == 4


def test_dvc_sees_changed_maps(project: Path) -> None:
    def described() -> tuple[bytes, bytes]:
        for stage, words in ((stages.methods, ["--out", "cells"]), (stages.foreign, ["--name", "lisa"])):
            result = toys.run(stage, project, *words) if stage is stages.methods else foreign(project, *words)
            assert result.exit_code == 0, result.output
        return (project / "cells/seed-1/lisa.json").read_bytes(), (project / "data/inputs/lisa.json").read_bytes()

    before = described()
    assert described() == before
    np.save(project / "lisa/40.npy", np.zeros((16, 16)))
    assert all(one != other for one, other in zip(described(), before, strict=True))


def foreign(project: Path, *words: str):  # type: ignore[no-untyped-def]
    from typer import Typer
    from typer.testing import CliRunner

    app = Typer()
    app.command()(stages.foreign.main)
    return CliRunner().invoke(app, [*words, "--params", str(project / "params.yaml")])


def test_what_is_missing_or_twice_is_one_sentence(project: Path) -> None:
    (project / "lisa/40.npy").unlink()
    (project / "lisa/41.npz").unlink()
    result = toys.run(stages.score, project, "--methods", "lisa")
    assert result.exit_code == 2
    assert "has no map of image 40 (Bird 40), nor of 1 of the next 5; put 40.npy, .npz or .png there" in result.output
    np.save(project / "lisa/42.npy", np.zeros((4, 4)))
    with pytest.raises(UserError, match=r"has both 42\.npy and Bird 42\.png for image 42; remove one"):
        Foreign(str(project / "lisa")).explain(torch.zeros(1, 3, 8, 8), torch.zeros(1), np.array([42]), ["Bird 42"])
    params = yaml.safe_load((project / "params.yaml").read_text())
    (project / "params.yaml").write_text(yaml.safe_dump(params | {"foreign": {"lisa": str(project / "nowhere")}}))
    assert "nowhere holds no .npy, .npz, .png; name the folder of the maps" in foreign(project, "--name", "lisa").output
    assert "foreign: 'sam' is none of lisa; add it with its folder" in foreign(project, "--name", "sam").output


@pytest.mark.parametrize("content", [np.zeros((2, 3, 4)), np.array([[{}]], dtype=object), np.zeros((2, 2), complex)])
def test_a_file_that_is_no_map_is_refused(tmp_path: Path, content: np.ndarray) -> None:
    np.save(tmp_path / "1.npy", content)
    with pytest.raises(UserError, match=r"1\.npy is no map"):
        read(tmp_path / "1.npy")
    np.savez(tmp_path / "2.npz", a=np.zeros((2, 2)), b=np.zeros((2, 2)))
    with pytest.raises(UserError, match="it holds 2 arrays, not one"):
        read(tmp_path / "2.npz")
    np.save(tmp_path / "3.npy", np.full((2, 2), np.nan))
    with pytest.raises(UserError, match="holds NaN or infinity"):
        read(tmp_path / "3.npy")
    (tmp_path / "4.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"4\.png is no map"):
        read(tmp_path / "4.png")
