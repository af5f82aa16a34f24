"""Define the types of single settings, with the sentences that refuse other values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool


def _number(value: Any) -> Any:
    """`dvc exp run -S lr=1e-5` writes the text '1e-05'; any other text is left for pydantic to refuse."""
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise ValueError("a number is needed") from None
    return value


def _absolute(value: Any) -> Any:
    """Refuse a path that names another place wherever DVC runs the stage; other types are left for pydantic."""
    if value is None:
        raise ValueError(f"null is no path that DVC can read; write {NOTHING} for none")
    if not isinstance(value, str) or value == NOTHING:
        return value
    if value != value.strip():
        raise ValueError("begins or ends with a space, which DVC and the stages would read differently; rename it")
    if not Path(value).is_absolute():
        raise ValueError(
            "is a relative path, which names another place in a queued experiment (DVC runs it in a folder of its"
            f" own); write the absolute path, or {NOTHING} for none"
        )
    return value


def _pairs(value: Any) -> Any:
    """Check a list of pairs with distinct first elements: a mapping in a form that DVC replaces as a whole."""
    if isinstance(value, Mapping):
        pairs = ", ".join(f"[{key}, {one}]" for key, one in value.items())
        raise ValueError(
            f"is a mapping, to which `dvc exp run -S` would only add; write it as a list of pairs: [{pairs}]"
        )
    if not isinstance(value, list | tuple) or any(not isinstance(one, list | tuple) or len(one) != 2 for one in value):
        raise ValueError("is no list of pairs; write [[A, B], [C, D]]")
    _once([key for key, _ in value])
    return value


def _once(values: list[Any]) -> list[Any]:
    """Refuse a list that names something twice."""
    twice = next((one for one in values if values.count(one) > 1), None)
    if twice is not None:
        raise ValueError(f"names {twice} twice; remove one of them")
    return values


def _odd(image_size: int) -> int:
    if image_size % 2 == 0:
        raise ValueError("must be odd, so that its square has a centre pixel")
    return image_size


def _fusion_map(value: Any) -> Any:
    if value == "all":
        return value
    wrong = [pair for pair in _pairs(value) if any(type(part) is not int or not 0 <= part <= 2**53 for part in pair)]
    if wrong:
        raise ValueError(f"{list(wrong[0])} is no pair of an encoder feature and a side block; write e.g. [3, 1]")
    return value


def _loads_no_file(options: Any) -> Any:
    unseen = sorted({name for name, _ in options} & UNSEEN_OPTIONS)
    if unseen:
        raise ValueError(
            f"{unseen[0]} would read weights that no stage depends on; remove it and name the file in inputs"
        )
    return options


def _no_auto(choose: str) -> BeforeValidator:
    """Refuse `auto`, which would let a process decide."""

    def check(value: Any) -> Any:
        if value == "auto":
            raise ValueError(f"{choose}; what was used is written with the results")
        return value

    return BeforeValidator(check)


#: The file that replaces an input that the user does not give; DVC depends on it instead.
NOTHING = "inputs/none"

#: Arguments of timm.create_model that choose weights or their location without DVC's knowledge.
UNSEEN_OPTIONS = {"cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay"}

Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Count = Annotated[int, Field(strict=True, ge=1, le=2**53)]  # what JSON and float64 hold exactly
Natural = Annotated[int, Field(strict=True, ge=0, le=2**53)]
Odd = Annotated[Count, AfterValidator(_odd)]  # side of a square in pixels
Once = AfterValidator(_once)  # of a list whose elements differ
Level = Annotated[int, Field(strict=True, ge=0, le=255)]  # of a mask, 8 bits
Given = Annotated[str, BeforeValidator(_absolute)]  # an absolute path, or :data:`NOTHING`
TimmOption = tuple[str, StrictBool | int | float | str]
TimmOptions = Annotated[list[TimmOption], BeforeValidator(_pairs), AfterValidator(_loads_no_file)]
FusionMap = Annotated[Literal["all"] | list[tuple[Natural, Natural]], BeforeValidator(_fusion_map)]


Batch = Annotated[Count, _no_auto("a number of images is needed, such as 64")]  # images per forward pass
Precision = Annotated[Literal["fp32", "bf16"], _no_auto("choose fp32 or bf16 (faster on a GPU that has it)")]
