"""`python -m tests.bad_inputs.document` writes docs/errors.md: every refusal that the tests know, in its own words."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from tests.bad_inputs.table import ACCEPTED, REFUSED
from tests.bad_inputs.world import ROOT, build, visit

PAGE = ROOT / "docs/errors.md"
HEAD = """# What goes wrong, and what is said

A command that is given something broken says so in one sentence (mistakes in `params.yaml`: one line each), writes
nothing and leaves with exit code 2. This page is made from the cases in `tests/bad_inputs` by
`python -m tests.bad_inputs.document`; a test compares the two.
"""


TAIL = """## What DVC says itself

`failed to resolve 'stages.train.foreach' in 'dvc.yaml': expected list/dictionary, got int`: `seeds` was given a number;
it is a list, `-S 'seeds=[3]'`. `'Value' object is not iterable`: so was `extensions`, `-S 'extensions=[lora]'`.

`Invalid --set-param value`, then `Cannot merge DictConfig with ListConfig`: a mapping was given for a list of pairs,
`-S 'profiles.mini.ala.sbn.fusion_map=[[1, 0], [2, 1]]'`; then `mismatched input`: a path with spaces or brackets needs
quotes of its own, `-S 'inputs.data="/home/me/my photos (2)"'`; then `Could not override 'profiles.photos.data.root'`:
it is `inputs.data` now, the weights are `inputs.encoder` and `inputs.fcam`.

`unexpected error` and no more: something in `inputs` is null, which DVC cannot read; `-S inputs.data=inputs/none` is
none.

`failed to reproduce '...': [Errno 2] No such file or directory: '...'`: a file that `inputs` names was there when the
settings were last checked, and is gone. `python -m stages.check` looks again.

`... is not a git repository`, `repository path ... is not owned by current user`: README, "Use it".

`dvc.lock` with the marks of a merge conflict: `'./dvc.lock' is invalid (possible merge conflicts)`, and DVC leaves with
exit code 255. Take either side whole, `git checkout --ours dvc.lock` or `--theirs`, and run `dvc repro`: it makes what
that side does not know. `params.yaml` that is no YAML is refused by DVC in the same way, before any stage begins.

`'./dvc.lock' validation failed`, or `'./dvc.lock' is invalid` without such marks: a run was killed while DVC wrote that
file. Take the committed one, `git checkout dvc.lock`, or remove it where none was committed yet. The run cache has
every stage that was finished, so `dvc repro` checks its outs out and makes only the report again. Where the cut left
half a word that can be read all the same, DVC may say no more than `failed to reproduce '...': `; the remedy is the
same.

`failed to reproduce '...': 'outs'`: an entry of the run cache was cut short. Remove `.dvc/cache/runs/*/*/.*.tmp` while
no run of DVC lives.

`... is busy, it is being blocked by: (PID ...)`: another run of DVC reads or writes what this one needs. Wait for it.
If no such run lives (`ps PID` tells), or DVC is `Unable to read RWLock-file '.dvc/tmp/rwlock'` after a kill: remove its
list of who reads and writes what, `rm .dvc/tmp/rwlock`, while no run of DVC lives in this project. `Unable to acquire
lock` comes from a lock that the system holds, so another run of DVC lives: `dvc --wait-for-lock repro` waits for it.

`unexpected error - ... File exists: '.../.git/index.lock'` at the very end: all stages are done and entered, but DVC
could not stage `dvc.lock` in Git. Either Git is at work in this clone, or a run or a command of Git was killed and left
its lock, which no program can tell apart for certain. If no Git is at work, remove the file and `git add dvc.lock`.

A killed `dvc exp run` leaves Git on no branch (`git status` tells so), on the same commit and with all changes;
`git switch NAME` goes back to the branch.
"""


def row(what: str, command: str, text: str) -> str:
    """A line of a table."""
    cells = (what, f"`{command}`", text.replace("|", "\\|"))
    return f"| {' | '.join(cells)} |"


def said(output: str, folder: Path) -> str:
    """A message as it is on the page: without the place of the project, long digits cut."""
    text = " ".join(output.strip().removeprefix("error: ").split())
    text = text.replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "")
    # names of temporary files; of folders with the machine and the process
    text = re.sub(r"(\.[\w-]+?-)(?:[0-9a-f]{8}-\d+-)?[a-z0-9_]{8}(?=[/.:;' ]|$)", r"\1XXXXXXXX", text)
    text = re.sub(r"((?:resume|checkpoints)/[\w.@-]+-)[0-9a-f]{16}", r"\1XXXXXXXX", text)  # digests of code
    # where is a matter of chance
    text = re.sub(r"(not readable as JSON|is no image cache) \(.*?\)+;", r"\1 (...);", text)
    return re.sub(r"\d{60,}", lambda digits: digits[0][:5] + "...", text)


def page(messages: dict[str, list[str]]) -> str:
    """The whole document, from the messages of each group's cases."""
    parts = [HEAD]
    for group, cases in REFUSED.items():
        rows = [row(case.what, case.command, text) for case, text in zip(cases, messages[group], strict=True)]
        parts.append(f"## {group}\n\n| what is wrong | command | message |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    rows = [row(one.what, one.command, one.so) for one in ACCEPTED]
    parts.append("## Read all the same\n\n| what is unusual | command | what is done |\n|---|---|---|\n" +
                 "\n".join(rows) + "\n")  # fmt: skip
    parts.append(TAIL)
    return "\n".join(parts)


def main() -> None:
    """Visit every case and write the page."""
    with tempfile.TemporaryDirectory() as name:
        sound, messages = build(Path(name) / "sound"), {}
        for group, cases in REFUSED.items():
            messages[group] = []
            for number, case in enumerate(cases):
                folder = Path(name) / f"{group.replace(' ', '-')}-{number}"
                result, _ = visit(sound, folder, case.damage, case.command)
                messages[group].append(said(result.output, folder))
    PAGE.write_text(page(messages), encoding="utf-8")


if __name__ == "__main__":
    main()
