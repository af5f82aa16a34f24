"""How far two runs of the same thing lie apart: the largest difference in every file that is not the same bytes.

On a GPU two runs differ in the last bits (docs/determinism.md). Run a stage twice into two folders, then compare them:

    ALA_STATE=state-first python -m stages.score --methods abn --seed 0 --device cuda --maps first
    ALA_STATE=state-second python -m stages.score --methods abn --seed 0 --device cuda --maps second
    python -m benchmarks.spread first second
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from safetensors.numpy import load_file

from ala.utils.errors import UserError, reported

First = Annotated[Path, typer.Argument(help="A folder with .npz, .csv or .safetensors files, at any depth.")]
Second = Annotated[Path, typer.Argument(help="The same files of another run.")]


def main(first: First, second: Second) -> None:
    """Compare all maps, scores, tables and weights below two folders; print what differs, and by how much at most.

    Example: python -m benchmarks.spread maps-1 maps-2
    """
    with reported():
        compared, differences = spread(first, second)
        for name, difference in differences.items():
            print(f"{name}: {difference:.3g}")
        print(f"{compared - len(differences)} of {compared} files are the same bytes")


def spread(first: Path, second: Path) -> tuple[int, dict[str, float]]:
    """How many files were compared, and the largest absolute difference of each one that is not the same bytes.

    Infinity means files whose arrays or columns have other names, shapes or words, and for NaN on one side only.

    Raises:
        UserError: there is nothing to compare, or a file is in one folder only.
    """
    files = [_files(folder) for folder in (first, second)]
    if not files[0] and not files[1]:
        raise UserError(f"{first} holds no .npz, .csv or .safetensors file; name the folder that a stage wrote")
    alone = sorted(files[0] ^ files[1])
    if alone:
        raise UserError(f"{alone[0]} is only in one of {first} and {second}; run the same stage into both")
    found = {}
    for name in sorted(files[0]):
        one, other = first / name, second / name
        if one.read_bytes() != other.read_bytes():
            found[name] = _largest(_values(one), _values(other))
    return len(files[0]), found


def _files(folder: Path) -> set[str]:
    known = (".npz", ".csv", ".safetensors")
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in known}


def _values(path: Path) -> Mapping[str, np.ndarray]:
    if path.suffix == ".csv":
        return {str(name): column.to_numpy() for name, column in pd.read_csv(path).items()}
    if path.suffix == ".safetensors":
        return load_file(path)
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def _largest(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> float:
    if one.keys() != other.keys():
        return float("inf")
    return max((_difference(one[name], other[name]) for name in one), default=0.0)


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    if one.shape != other.shape:
        return float("inf")
    if one.dtype.kind not in "fiu" or other.dtype.kind not in "fiu":
        return 0.0 if (one == other).all() else float("inf")
    a, b = one.astype(float), other.astype(float)
    if (np.isnan(a) != np.isnan(b)).any():
        return float("inf")
    return float(np.nanmax(np.abs(a - b), initial=0.0))


if __name__ == "__main__":
    typer.run(main)
