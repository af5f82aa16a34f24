"""Importing `ala` changes nothing in the process; a command tunes its own process in one place, `reported`."""

from __future__ import annotations

import ast
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*(ROOT / "ala").rglob("*.py"), *(ROOT / "stages").glob("*.py")])

#: What tunes a process, and the files that may name it.
TUNES = {
    "keep_freed_memory": {"ala/utils/process.py"}, "tuned(": {"ala/utils/process.py", "ala/utils/errors.py"},
    "signal.signal(": {"ala/utils/process.py", "ala/pipeline/executors/processes.py"},  # of workers of our own
    "set_num_threads(": {"ala/utils/threads.py", "ala/pipeline/executors/processes.py"},  # the caller's number stays
}  # fmt: skip

#: Imports the libraries, notes what they and the process are like, imports all of `ala` and `stages`, and compares.
CODE = """
import importlib, logging, os, signal, sys, warnings
from pathlib import Path
import ala.utils.torchvision_import
import matplotlib.pyplot, numpy, open_clip, pandas, PIL.Image, ruamel.yaml, scipy.ndimage, seaborn, skimage, timm, torch
import torchvision

LIBRARIES = {"matplotlib", "numpy", "open_clip", "pandas", "PIL", "scipy", "seaborn", "skimage", "timm", "torch",
             "torchvision", "tempfile", "shutil", "os", "io", "json", "builtins"}

def contents():
    # Every function and class of the libraries, and what their classes hold.
    found = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] not in LIBRARIES:
            continue
        assert module is not None, name
        for key, value in list(vars(module).items()):
            if callable(value):
                found[name, key] = value
            if isinstance(value, type) and value.__module__.split(".")[0] in LIBRARIES:
                found |= {(value, key): own for key, own in vars(value).items() if callable(own)}
    return found

def process():
    return {
        "threads": torch.get_num_threads(), "interop": torch.get_num_interop_threads(),
        "dtype": torch.get_default_dtype(), "device": torch.get_default_device(), "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul": torch.get_float32_matmul_precision(), "benchmark": torch.backends.cudnn.benchmark,
        "random": (torch.get_rng_state().tolist(), numpy.random.get_state()[1].tolist()),
        "errors": numpy.geterr(), "printing": numpy.get_printoptions(), "warnings": list(warnings.filters),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "environment": dict(os.environ), "hooks": (sys.excepthook, sys.displayhook, list(sys.meta_path)),
        "path": list(sys.path), "folder": os.getcwd(), "style": dict(matplotlib.rcParams),
        "logging": (logging.root.level, list(logging.root.handlers)),
        "stand-ins": {name for name, module in sys.modules.items() if getattr(module, "__spec__", None) is None},
    }

before, around = contents(), process()
root = Path(sys.argv[1])
for file in sorted([*(root / "ala").rglob("*.py"), *(root / "stages").glob("*.py")]):
    importlib.import_module(".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"))
after, later = contents(), process()
print([key for key, value in before.items() if after.get(key) is not value])
print([name for name in around if around[name] != later[name]])

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

held = resident()
block = bytearray(b"x") * (64 * 2**20)
del block
print(resident() - held < 16 * 2**20)
"""


def test_importing_every_module_changes_nothing():
    command = [sys.executable, "-c", CODE, str(ROOT)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    changed, settings, freed = done.stdout.strip().splitlines()
    assert changed == "[]"
    assert settings == "[]"
    assert freed == "True", "freed memory stays with the process"


def test_open_clip_makes_timm_towers_afterwards():
    code = (
        "import ala, ala.encoders.networks, ala.encoders.clip_source, open_clip\n"
        "model = open_clip.create_model('ViT-B-16-SigLIP', pretrained=None)\n"
        "print(type(model.visual).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "TimmModel", done.stderr


def test_timm_can_be_imported_by_a_script():
    """Beside a CPU-only torch, too, by the import that README names."""
    code = "import ala.utils.torchvision_import, timm; print(timm.is_model('resnet50'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_reaches_into_other_libraries(file):
    """No foreign functions through ctypes, no modules of other names, no patched functions of tensors."""
    tree, name = ast.parse(file.read_text()), str(file.relative_to(ROOT))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert "ctypes" not in imported or name == "ala/utils/process.py"
    assert not {found for found in imported if found.split(".")[0] == "dvc"}
    assert "torch.overrides" not in imported
    written = [
        ast.unparse(node) for node in ast.walk(tree)
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del)
    ]  # fmt: skip
    assert not [one for one in written if "sys.modules" in one] or name == "ala/utils/torchvision_import.py"
    assert "sys.modules.update" not in ast.unparse(tree)


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.parent.name == "stages" and "typer.run" in file.read_text()],
    ids=lambda file: file.stem,
)  # fmt: skip
def test_every_stage_has_one_entry(file):
    tree = ast.parse(file.read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "reported"]
    assert len(calls) == 1


def test_a_program_keeps_freed_memory():
    code = CODE[CODE.index("def resident") :].replace("held = ", "from ala.utils.errors import reported\nheld = ")
    code = code.replace("block = ", "with reported():\n    block = ")
    command = [sys.executable, "-c", f"from pathlib import Path\n{code}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout.strip() == "False") == (platform.libc_ver()[0] == "glibc")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_only_the_entry_tunes_the_process(file):
    """Nothing in `ala` but the entry requests it, and no thread count or signal is set elsewhere."""
    text, name = file.read_text(), str(file.relative_to(ROOT))
    for word, places in TUNES.items():
        assert word not in text or name in places
