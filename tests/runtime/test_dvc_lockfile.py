"""`make unlock` against lock files that DVC wrote, cut wherever a kill may cut them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import yaml
from dvc.dvcfile import Lockfile
from dvc.exceptions import DvcException
from dvc.lock import make_lock
from dvc.repo import Repo
from dvc.utils import strictyaml

from ala.runtime.dvc_lockfile import mend
from ala.runtime.dvc_locks import main
from ala.runtime.errors import UserError

#: Three stages in a row; each writes its name to a log that DVC does not know. The last is like the report.
PIPELINE = {
    "stages": {
        "one": {"cmd": "echo one >> ran; cp in a", "deps": ["in"], "params": ["x"], "outs": ["a"]},
        "two": {"foreach": [0], "do": {"cmd": "echo two >> ran; cp a b", "deps": ["a"], "outs": ["b"]}},
        "report": {
            "cmd": "echo report >> ran; cp b c",
            "deps": ["b"],
            "outs": [{"c": {"cache": False, "persist": True}}],
        },
    }
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that has run."""
    folder = tmp_path_factory.mktemp("ran")
    Repo.init(str(folder), no_scm=True).close()
    (folder / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (folder / "in").write_text("é")
    (folder / "params.yaml").write_text(yaml.safe_dump({"x": {"größe": [1, "é"]}}))
    (folder / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    with contextlib.chdir(folder):
        reproduce()
    (folder / "whole").write_bytes((folder / "dvc.lock").read_bytes())
    return folder


@pytest.fixture
def folder(ran: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, whole again, as the working directory."""
    monkeypatch.chdir(ran)
    (ran / "dvc.lock").write_bytes((ran / "whole").read_bytes())
    (ran / "ran").write_text("")
    return ran


def stages(lock: Path) -> dict:
    """What DVC reads in the file."""
    return strictyaml.load(str(lock), Lockfile.SCHEMA)[0].get("stages", {}) if lock.exists() else {}


def reproduce() -> list[str]:
    """Let DVC go on; the stages that it really ran."""
    with Repo() as repo:
        repo.reproduce()
    return Path("ran").read_text().split()


def test_wherever_it_is_cut_the_stages_before_stay(folder):
    """At each byte; a lock that DVC reads to its end is not touched."""
    lock, sound = folder / "dvc.lock", (folder / "whole").read_bytes()
    whole = stages(folder / "whole")
    starts = [sound.index(f"\n  {name}:\n".encode()) + 1 for name in whole]
    touched = 0
    for cut in range(len(sound)):
        lock.write_bytes(sound[:cut])
        said = mend(lock, folder / ".dvc/tmp")
        if said is None:
            assert lock.read_bytes() == sound[:cut]
            stages(lock)
            continue
        kept, before = list(stages(lock).items()), sum(end <= cut for end in [*starts[1:], len(sound)])
        assert kept[:before] == list(whole.items())[:before]
        assert len(kept) <= before + 1
        assert (f"up to {kept[-1][0]};" if kept else "removed") in said
        touched += 1
    assert touched > len(sound) / 2
    assert [path.name for path in folder.iterdir() if path.name.startswith(".dvc-")] == []


#: The stage, and the last bytes of it that were written.
CUTS = [
    ("schema", b""),
    ("schema", b"schema: '2"),
    ("one", b"one:"),
    ("one", b"    deps"),
    ("one", b"    - path:"),
    ("one", b"      hash: md"),
    ("one", "größe".encode()[:3]),
    ("two@0", b"    cmd:"),
    ("two@0", b"    - path"),
    ("two@0", b"      hash: md"),
    ("report", b"report"),
    ("report", b"      hash: md"),
]


@pytest.mark.parametrize(("stage", "last"), CUTS)
def test_dvc_stops_at_a_cut_and_after_mending_takes_finished_stages_from_its_run_cache(folder, stage, last):
    lock, sound = folder / "dvc.lock", (folder / "whole").read_bytes()
    lock.write_bytes(sound[: sound.index(last, sound.index(stage.encode())) + len(last)])
    with pytest.raises(DvcException):
        reproduce()
    assert "dvc repro" in str(mend(lock, folder / ".dvc/tmp"))
    (folder / "a").unlink()
    (folder / "b").unlink()
    assert reproduce() == ["report"]  # DVC keeps no run of a stage whose outs persist
    assert stages(lock) == stages(folder / "whole")


@pytest.mark.slow
def test_dvc_goes_on_by_itself_from_a_lock_that_was_cut_between_two_lines(folder):
    """Where it can read the file, so nothing is to be mended."""
    lock, lines, left = folder / "dvc.lock", (folder / "whole").read_bytes().splitlines(keepends=True), 0
    for number in range(1, len(lines)):
        lock.write_bytes(b"".join(lines[:number]))
        if mend(lock, folder / ".dvc/tmp") is None:
            left += 1
            (folder / "ran").write_text("")
            assert reproduce() in ([], ["report"])
            assert stages(lock).keys() == stages(folder / "whole").keys()
    assert left > len(lines) / 2


def test_a_tail_of_zeros_goes(folder):
    """What a power cut may leave where the disk did not get the bytes."""
    lock, sound = folder / "dvc.lock", (folder / "whole").read_bytes()
    lock.write_bytes(sound[:-100] + bytes(100))
    assert "up to report;" in str(mend(lock, folder / ".dvc/tmp"))
    lock.write_bytes(bytes(100))
    assert "removed" in str(mend(lock, folder / ".dvc/tmp"))
    assert not lock.exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema:", "<<<<<<< HEAD\nschema:", "merge conflict; take one side"),
        ("schema: '2.0'", "schema: '3.0'", "not cut short"),
        ("    cmd: echo one", "    command: echo one", "not cut short"),
        ("schema: '2.0'", "nothing of DVC", "not cut short"),
    ],
)
def test_what_is_not_cut_is_left_alone(folder, old, new, message):
    lock = folder / "dvc.lock"
    broken = lock.read_text().replace(old, new, 1)
    lock.write_text(broken)
    with pytest.raises(UserError, match=message):
        mend(lock, folder / ".dvc/tmp")
    assert lock.read_text() == broken


def test_a_run_at_work_may_be_writing_it(folder):
    lock = folder / "dvc.lock"
    lock.write_bytes(lock.read_bytes()[:-30])
    cut, temporary = lock.read_bytes(), folder / ".dvc/tmp"
    with make_lock(str(temporary / "lock"), tmp_dir=str(temporary)), pytest.raises(UserError, match="at work"):
        mend(lock, temporary)
    assert lock.read_bytes() == cut


def test_one_command_frees_the_locks_and_mends_the_lock_file(folder, capsys):
    lock, temporary = Path("dvc.lock"), Path(".dvc/tmp")
    main()
    assert capsys.readouterr().out == f"{temporary / 'rwlock'}: nobody holds a lock\ndvc.lock: not cut short\n"
    (temporary / "rwlock").write_text(json.dumps({})[:1])
    lock.write_bytes(lock.read_bytes()[:-30])
    main()
    locks, mended = capsys.readouterr().out.splitlines()
    assert locks == "removed .dvc/tmp/rwlock, which a kill had cut short"
    assert mended == (
        "mended dvc.lock, which a kill had cut short: kept its stages up to report; run `dvc repro`: what else was"
        " finished comes from the run cache, only the report is made again"
    )
    assert reproduce() == ["report"]
    lock.unlink()
    main()  # a fresh clone
    assert capsys.readouterr().out.endswith("dvc.lock: not cut short\n")
