"""Keep the state of a training after each epoch, so that a killed run goes on from there.

A training has one file, `state/checkpoints/NAME-DIGEST.pt`, where DVC does not look (it removes outs before a run). The
digest covers settings, the bytes of all inputs, the source text of the code and torch's version, so a training that
differs in any of them never finds it. The file is replaced as a whole. After the last epoch it stays, holding the
result alone: a kill before DVC has written `dvc.lock` makes DVC run the command again. Once DVC has written it, a
forced run trains again. `make clean-state` removes the files.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from ala.utils.errors import UserError
from ala.utils.files import atomic_path, sha256, stamped_sha256


class Checkpoint:
    """The file of one training: the sha256 of the rest (32 bytes), then what `torch.save` writes.

    Attributes:
        name: of the training, such as `train/abn/seed-0`.
        file: its path, which may not exist yet.
    """

    def __init__(self, name: str, file: Path) -> None:
        self.name, self.file = name, file

    @classmethod
    def of(
        cls,
        name: str,
        settings: Mapping[str, Any],
        inputs: Iterable[Path] = (),
        code: Iterable[ModuleType | str] = (),
        root: Path | None = None,
    ) -> Checkpoint:
        """Name the file of a training by everything that its weights depend on.

        Args:
            name: of the training, unique among trainings of one project; `/` is allowed.
            settings: what the weights depend on and is neither file nor code; it must be JSON-serialisable.
            inputs: files and folders whose bytes the weights depend on; a missing one counts as missing.
            code: modules or their names; of a package all its files.
            root: the folder of the state; without it `$ALA_STATE`, and without that `state`.
        """
        folder = (root or state_folder()) / "checkpoints"
        return cls(name, folder / f"{file_name(name)}-{digest(settings, inputs, code)}.pt")

    def part(self, name: str) -> Checkpoint:
        """The file of one network, where a command trains several, each after the other."""
        return Checkpoint(f"{self.name}/{name}", self.file.with_name(f"{name}-{self.file.name}"))

    def load(self) -> Any | None:
        """Load what :meth:`save` wrote, on the CPU, or None. A damaged file counts as absent, which is logged."""
        import torch

        try:
            content = self.file.read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            print(f"note: {self.file} is damaged, the training begins again", file=sys.stderr)
            return None
        return torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)

    def recorded(self) -> bool:
        """Whether DVC has written `dvc.lock` after the file: whoever runs the command again wants it trained again."""
        root = os.environ.get("DVC_ROOT")
        return root is not None and _written(Path(root) / "dvc.lock") > _written(self.file)

    def save(self, state: Mapping[str, Any], epoch: int) -> None:
        """Replace the file by `state` after `epoch`: nested dicts, lists and tuples of tensors, numbers and strings.

        Tests that kill runs count in the file `$ALA_UNIT_LOG` which epochs were computed twice.

        Raises:
            UserError: the file cannot be written.
        """
        import torch

        log = os.environ.get("ALA_UNIT_LOG")
        if log:
            with Path(log).open("a", encoding="utf-8") as lines:
                lines.write(f"{self.name}\tepoch {epoch}\n")
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        content = buffer.getvalue()
        try:
            with atomic_path(self.file) as temporary:
                temporary.write_bytes(hashlib.sha256(content).digest() + content)
        except OSError as error:
            raise UserError(
                f"{self.file}: cannot write {len(content):,} bytes of a training's state ({error.strerror}); make room,"
                " or name another folder by ALA_STATE"
            ) from None


def _written(file: Path) -> int:
    return file.stat().st_mtime_ns if file.exists() else 0


def state_folder() -> Path:
    """Return the folder of state that is not a result: `$ALA_STATE`, else `state`."""
    return Path(os.environ.get("ALA_STATE") or "state")


def checkpoints(root: Path) -> Iterator[Path]:
    """List the files of trainings below `root`, as :meth:`Checkpoint.of` names them, and no others."""
    for file in sorted((root / "checkpoints").glob("*.pt")):
        if re.fullmatch(r".+-[0-9a-f]{16}\.pt", file.name) and file.is_file():
            yield file


def file_name(name: str) -> str:
    """Turn the name of some work into that of a file."""
    return re.sub(r"[^A-Za-z0-9_.@-]", "-", name)


def digest(settings: Mapping[str, Any], inputs: Iterable[Path], code: Iterable[ModuleType | str]) -> str:
    """Compute 16 hexadecimal digits of everything that some work depends on; arguments as of :meth:`Checkpoint.of`."""
    whole = {
        "settings": settings,
        "inputs": [_digest_of_input(Path(path)) for path in inputs],
        "code": [_digest_of_code(module) for module in code],
        "torch": version("torch"),
    }
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]


def _digest_of_input(path: Path) -> dict[str, str]:
    """The sha256 of a file, or of every file of a folder by its name within."""
    files = (
        sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path] if path.exists() else []
    )
    return {one.relative_to(path).as_posix(): stamped_sha256(one) for one in files}


def _digest_of_code(module: ModuleType | str) -> dict[str, str]:
    if isinstance(module, str):
        found = importlib.util.find_spec(module)
        origin = found.origin if found is not None else None
    else:
        origin = module.__file__
    if origin is None:
        raise ValueError(f"{module} has no source file")
    file = Path(origin)
    files = sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]
    return {one.relative_to(file.parent).as_posix(): sha256(one) for one in files}
