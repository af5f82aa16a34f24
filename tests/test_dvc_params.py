"""Each stage's `params` in dvc.yaml name the settings that its commands read."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from ala.config import load
from ala.config.schema import EXTENSIONS, Profile, Section, Settings
from stages import options
from tests.bad_inputs.world import World, build, change
from tests.imports import ROOT, dvc_stages

STAGES = dvc_stages()

#: Read on every way to the active profile, whose name is in `params` as ${profile}.
EVERYWHERE = {"profile", "profiles"}

#: Decide where work is done, and no number.
NO_NUMBERS = {"executor.kind", "executor.workers"}

#: The miniature, smaller still, with the encoder that it trains itself.
DRAWN: dict[str, Any] = {
    "data.birdlets": {"species": 3, "train_per_species": 4, "test_per_species": 2},
    "data": {"train_per_class": 3},
    "encoder": {"weights": "train"},
    "encoder.pretrain": {"pairs": 8, "epochs": 1, "batch": 4},
    "train": {"epochs": 2, "batch": 4},
    "rise": {"n_masks": 4},
    "fcam.classifier": {"epochs": 1, "batch": 4},
    "fcam.decoder": {"epochs": 1, "batch": 4},
    "metrics": {"images_per_class": 1, "step": 3200, "lab_points": 3, "box_step": 0.2},
    "layers": {"abn": [0, 2]},
    "errors": {"at_least": 2},
    "edge": {"kappas": [1.0]},
}


class Recorder:
    """Notes by its place in the file every setting that is read after loading."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.read: set[str] = set()
        self._known: dict[int, tuple[str, Section]] = {}  # with the section, so that no other gets its number
        recorder, plain_copy, plain_dump = self, Section.model_copy, Section.model_dump
        plain_deciding = Settings.deciding

        def getattribute(section: Section, name: str) -> Any:
            value = object.__getattribute__(section, name)
            if name in type(section).model_fields and not isinstance(value, Section):
                recorder._note(section, name)
            return value

        def model_copy(section: Section, **how: Any) -> Any:
            copied = plain_copy(section, **how)
            known = recorder._known.get(id(section))
            if known is not None:
                recorder._learn(copied, known[0])
            return copied

        def model_dump(section: Section, **how: Any) -> dict[str, Any]:
            if not isinstance(section, Settings | Profile):  # those are digests of half-done work, as below
                recorder._note_all(section)
            return plain_dump(section, **how)

        def deciding(settings: Settings) -> dict[str, Any]:
            """All there is, by which half-done work is found again; no result depends on it."""
            before = set(recorder.read)
            value = plain_deciding(settings)
            recorder.read = before
            return value

        patch.setattr(Section, "__getattribute__", getattribute)
        patch.setattr(Section, "model_copy", model_copy)
        patch.setattr(Section, "model_dump", model_dump)
        patch.setattr(Settings, "deciding", deciding)

    def load(self, path: Any = "params.yaml") -> Settings:
        """:func:`ala.config.load`, whose checks are no reading."""
        settings = load(path)
        self._learn(settings, "")
        self.read.clear()
        return settings

    def _learn(self, section: Section, place: str) -> None:
        self._known[id(section)] = (place, section)
        for name, value in vars(section).items():
            if isinstance(value, Section):
                self._learn(value, f"{place}.{name}".lstrip("."))
        for name, profile in vars(section).get("profiles", {}).items():
            self._learn(profile, f"profiles.{name}")

    def _note(self, section: Section, name: str) -> None:
        if id(section) in self._known:
            self.read.add(f"{self._known[id(section)][0]}.{name}".lstrip("."))

    def _note_all(self, section: Section) -> None:
        for name, value in vars(section).items():
            if isinstance(value, Section):
                self._note_all(value)
            else:
                self._note(section, name)


def commands(name: str, methods: list[str]) -> list[str]:
    """What the stage runs, of seed 0, as `STAGE OPTIONS`."""
    given = STAGES[name]["cmd"]
    found = []
    for command in [given] if isinstance(given, str) else given:
        words = command.removeprefix("python -m stages.").replace("${key}", "lisa")
        words = words.replace("${item.seed}", "0").replace("${item}", "0")
        for variable, values in (("${item.extension}", list(EXTENSIONS)), ("${item.methods}", methods)):
            if variable in words:
                found += [words.replace(variable, value) for value in values]
                break
        else:
            found.append(words)
    return found


@pytest.fixture(scope="module", params=["a folder, timm", "drawn, open_clip"])
def reads(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """What each stage reads in a small run of all of them, without and with an own data set and encoder."""
    folder = tmp_path_factory.mktemp("reads") / "project"
    if request.param == "a folder, timm":
        build(folder, commands=[])
    else:
        folder.mkdir()
        (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
        change(folder / "params.yaml", DRAWN)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    asked = [name for name in EXTENSIONS if name != "lora" or request.param.startswith("drawn")]  # of ViTs alone
    (folder / "lisa").mkdir()
    (folder / "lisa" / "1.npy").write_bytes(b"")  # no row of `methods`, so nobody reads it as a map
    params |= {"seeds": [0], "extensions": asked, "foreign": {"lisa": "lisa"}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    found: dict[str, set[str]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ALA_STATE", raising=False)
        patch.setattr("ala.utils.repository.check", lambda folder: None)
        recorder = Recorder(patch)
        for name in STAGES:
            found[name] = set()
            for command in commands(name, params["methods"]):
                if "lora" in command and "lora" not in params["extensions"]:
                    continue
                for module in (importlib.import_module(f"stages.{command.split()[0]}"), options):
                    patch.setattr(module, "load", recorder.load, raising=False)
                done = World(folder, patch).run(command)
                assert done.exit_code == 0, f"{command}: {done.output} {done.exception!r}"
                found[name] |= recorder.read
    return found


@pytest.mark.parametrize("name", STAGES)
def test_params_cover_what_the_stage_reads(reads: dict[str, set[str]], name: str) -> None:
    stage = STAGES[name]
    params = {one.replace("${profile}", "mini") for one in stage["params"]}
    params |= {dep[2:-1] for dep in stage["deps"] if dep.startswith("${inputs.")}  # tracked by its bytes
    if any(dep.startswith("cells/") for dep in stage["deps"]):  # those files say what the settings of `methods` decide
        params |= {one.replace("${profile}", "mini") for one in STAGES["methods"]["params"]}
    missed = {
        one for one in reads[name] - EVERYWHERE - NO_NUMBERS
        if not any(one == block or one.startswith(f"{block}.") for block in params)
    }  # fmt: skip
    assert missed == set(), f"{name}: add these to its params in dvc.yaml, or do not read them"
    assert reads[name] - EVERYWHERE, f"{name} reads no setting; the test has lost sight of it"


def test_the_recorder_sees_reading_copying_and_dumping(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    settings = recorder.load(Path(ROOT / "params.yaml"))
    profile = settings.active
    assert profile.train.lr > 0
    assert profile.model_copy(update={"abn": profile.abn.model_copy(update={"layer": 1})}).abn.lambda_ab == 1
    profile.fcam.classifier.model_dump(mode="json")
    profile.model_dump(mode="json")
    found = {one.removeprefix("profiles.mini.") for one in recorder.read - EVERYWHERE}
    assert found == {"train.lr", "abn.lambda_ab"} | {
        f"fcam.classifier.{name}" for name in
        ("epochs", "lr", "head_lr_factor", "step_epochs", "momentum", "weight_decay", "batch")
    }  # fmt: skip
