"""`params.yaml` and the words of a command."""

from __future__ import annotations

from pathlib import Path

from tests.bad_inputs.case import Accepted, Case
from tests.bad_inputs.world import World

PARAMS = "params.yaml"


def _text(text: str | bytes):
    return lambda world: (world / PARAMS).write_bytes(text if isinstance(text, bytes) else text.encode())


def _edit(old: str, new: str):
    return lambda world: world.edit(PARAMS, old, new)


def _set(place: str, value: object):
    return lambda world: world.set(place, value)


def _inputs(data: str):
    """Name a place in the words of the user, not made absolute."""
    return lambda world: world.edit(PARAMS, f"data: {world / 'photos'}", f"data: {data}")


def _folder(world: World) -> None:
    (world / PARAMS).unlink()
    (world / PARAMS).mkdir()


def _laughs(world: World) -> None:
    """Nine aliases of nine aliases ...: 9^9 values in some lines."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    (world / PARAMS).write_text("\n".join(lines) + "\n")


def _code(world: World) -> None:
    (world / PARAMS).write_text("profile: !!python/object/apply:os.mkdir [broken-into]\n")


def _levels(world: World) -> None:
    world.set("data.object_levels", [1, 2])
    world.set("data.background_levels", [255, 1])


CASES = [
    Case("the file is missing", "data", lambda w: (w / PARAMS).unlink(), PARAMS, "does not exist",
         "run the command in the project's folder"),
    Case("a folder of that name", "data", _folder, PARAMS, "Is a directory", "check the file and its permissions"),
    Case("an empty file", "data", _text(""), PARAMS, "NoneType", "must hold settings by name"),
    Case("a list in place of settings", "data", _text("- 1\n- 2\n"), PARAMS, "list", "must hold settings by name"),
    Case("a tab as indentation", "data", _text("profiles:\n\tmini: 1\n"), PARAMS, r"'\t' that cannot start any token",
         "correct it there"),
    Case("a key twice", "data", _edit("aea: true", "aea: true\naea: false"), PARAMS, 'found duplicate key "aea"',
         "correct it there"),
    Case("a list as a key", "data", _text("? [a, b]\n: 1\n"), PARAMS, "the key in line 1 is no word",
         "correct it there"),
    Case("aliases that unfold to 400 million values", "data", _laughs, PARAMS, "at most 100,000 are read",
         "correct it there"),
    Case("an alias within its own anchor", "data", _text("seeds: &a [*a]\n"), PARAMS, "line 1 contains itself",
         "correct it there"),
    Case("a tag that would run code", "data", _code, PARAMS, "python/object/apply:os.mkdir", "correct it there"),
    Case("a value that belies its tag", "data", _text("aea: !!bool maybe\n"), PARAMS, "not what its tag says",
         "correct it there"),
    Case("10,000 brackets, one in the other", "data", _text("[" * 10_000), PARAMS, "too deep", "correct it there"),
    Case("Latin-1 text", "data", _text("profile: Käfer\n".encode("latin-1")), PARAMS, "byte 0xe4 in position 10",
         "correct it there"),
    Case("a NUL byte", "data", _text(b"profile: mi\0ni\n"), PARAMS, "special characters are not allowed",
         "correct it there"),
    Case("the marks of a merge conflict", "data", _text("<<<<<<< HEAD\naea: true\n=======\naea: false\n>>>>>>> x\n"),
         PARAMS, "line 2", "correct it there"),
    Case("a profile that does not exist", "data", _edit("profile: mini", "profile: big"), PARAMS, "profile 'big'",
         "choose one of mini"),
    Case("a setting that does not exist", "data", _edit("patience:", "patiense:"), PARAMS,
         "train.patiense: unknown setting", "remove it or check its spelling"),
    Case("a number of 400 zeros", "train --variant abn --seed 0", _set("train.epochs", 10**400), PARAMS,
         "train.epochs", "less than or equal to 9007199254740992"),
    Case("a number of 5,000 digits", "data", _edit("seeds:\n- 0", f"seeds:\n- {'7' * 5000}"), PARAMS,
         "a number has more digits than any setting needs", "correct it there"),
    Case("1e999", "data", _edit("lr: 0.001", "lr: 1e999"), PARAMS, "train.lr: inf", "should be a finite number"),
    Case("not a number", "data", _edit("lr: 0.001", "lr: .nan"), PARAMS, "train.lr: nan", "should be a finite number"),
    Case("a word in place of a number", "data", _set("train.lr", "fast"), PARAMS, "train.lr: 'fast'",
         "a number is needed"),
    Case("true in place of a number", "data", _set("train.lr", True), PARAMS, "train.lr: True", "a number is needed"),
    Case("a negative learning rate", "data", _set("train.lr", -1), PARAMS, "train.lr: -1", "greater than 0"),
    Case("half an epoch", "data", _set("train.epochs", 0.5), PARAMS, "train.epochs: 0.5", "valid integer"),
    Case("a seed twice", "data", _edit("seeds:\n- 0", "seeds:\n- 0\n- 0"), PARAMS, "seeds: [0, 0]: names 0 twice",
         "remove one of them"),
    Case("a level that is object and background", "data", _levels, PARAMS, "both name level 1", "take it out of one"),
    Case("a mask level above 255", "data", _set("data.object_levels", [256]), PARAMS, "data.object_levels.0: 256",
         "less than or equal to 255"),
    Case("an id in place of a list of ids", "data", _set("data.exclude", 6), PARAMS, "data.exclude: 6", "write [6]"),
    Case("settings that exclude one another", "data", _set("ala.sbn.heads", 3), PARAMS, "heads (3)",
         "must divide width (8)"),
    Case("a place of a file as it was once named", "data", _set("data.root", "photos"), PARAMS,
         "data.root: is no setting any more", "name it by inputs.data"),
    Case("a relative path", "data", _inputs("../photos"), PARAMS, "inputs.data: '../photos'",
         "write the absolute path, or inputs/none for none"),
    Case("null in place of a path", "data", _inputs("null"), PARAMS, "inputs.data: None: null is no path",
         "write inputs/none for none"),
    Case("features as a mapping", "data", _set("ala.sbn.fusion_map", {1: 0, 2: 1}), PARAMS, "ala.sbn.fusion_map",
         "write it as a list of pairs: [[1, 0], [2, 1]]"),
    Case("timm's options as a mapping", "data", _set("encoder.options", {"pad_type": "same"}), PARAMS,
         "encoder.options", "write it as a list of pairs: [[pad_type, same]]"),
    Case("an option of timm that names a file", "data", _set("encoder.options", [["checkpoint_path", "w.pt"]]), PARAMS,
         "checkpoint_path would read weights", "name the file in inputs"),
    Case("one seed in place of a list", "data", _edit("seeds:\n- 0", "seeds: 3"), PARAMS, "seeds: 3: is no list",
         "write [3], with dvc exp run -S 'seeds=[3]'"),
    Case("a setting left out", "data", _edit("        momentum: 0.9\n", ""), PARAMS, "fcam.classifier.momentum",
         "is missing"),
    Case("no Git repository", "check", lambda w: None, ".git does not exist", "DVC needs a Git repository",
         "git commit -m 'Start'"),
    Case("a variant that does not exist", "train --variant full --seed 0", lambda w: None, "variant", "'full'",
         "choose one of"),
    Case("a method that does not exist", "score --methods gradcam --seed 0", lambda w: None, "methods", "'gradcam'",
         "choose one of"),
    Case("a device that does not exist", "encoder --device cuda:7", lambda w: None, "device", "'cuda:7'",
         "use --device auto or --device cpu"),
]  # fmt: skip


def _anchors(world: World) -> None:
    world.edit(PARAMS, "hflip: 0.5", "hflip: &half 0.5")
    world.edit(PARAMS, "background_share: 0.1", "background_share: *half")


def _split_written(world: World, _: str) -> None:
    assert Path(world / "data/splits/train.csv").is_file()


ACCEPTED = [
    Accepted("anchors and aliases", "split", _anchors, "they mean what they name", _split_written),
    Accepted("a byte order mark and CRLF", "split",
             lambda w: (w / PARAMS).write_bytes(b"\xef\xbb\xbf" + (w / PARAMS).read_bytes().replace(b"\n", b"\r\n")),
             "read as without them", _split_written),
]  # fmt: skip
