"""What the user's own files, named by `inputs`, are taken for; looked at without opening an image or a tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from ala.config.schema import NOTHING, Data, EncoderSettings, Fcam, Settings
from ala.utils.errors import UserError

#: Where images come from: drawn; a data set in a folder; archives in a folder; archives to be downloaded.
Source = Literal["birdlets", "folder", "archives", "download"]
Name = Literal["data", "encoder", "fcam"]
NAMES: tuple[Name, ...] = get_args(Name)


def data_source(data: Data, given: Path | None) -> Source:
    """Determine the source of a profile's images from its block `data` and the user's folder, if there is one.

    A folder that holds no folders is one of archives, if archives are wanted. What else lies there is for the layout.

    Raises:
        UserError: the profile needs a data set and none is named, or there is no such folder.
    """
    if data.source == "birdlets":
        return "birdlets"
    if given is None:
        if data.source == "download":
            return "download"
        raise UserError(f"inputs.data is {NOTHING}, but data.source folder reads a data set; {_name('data', 'DIR')}")
    if not given.is_dir():
        raise UserError(f"inputs.data {given} is no folder; {_name('data', 'DIR')}")
    if data.source == "download" and not any(path.is_dir() for path in given.iterdir() if path.name[0] != "."):
        return "archives"
    return "folder"


def encoder_file(encoder: EncoderSettings, given: Path | None) -> Path | None:
    """The user's weight file for the encoder; None where its weights are fetched, trained or drawn.

    Raises:
        UserError: the file does not exist or is empty, or the weights come from nowhere.
    """
    if not encoder.reads_file:
        return None
    if given is None and encoder.tag is None:
        raise UserError(no_weights(encoder))
    return _file("encoder", given)


def no_weights(encoder: EncoderSettings) -> str:
    """Return the error message for an encoder without a source of weights."""
    mark = "." if encoder.library == "timm" else "/"
    return (
        f"inputs.encoder is {NOTHING}, so {encoder.model} would keep random weights; {_name('encoder', 'FILE')}, or"
        f" name weights of {encoder.library}: encoder.name {encoder.name}{mark}WEIGHTS"
    )


def fcam_file(fcam: Fcam, given: Path | None) -> Path | None:
    """The user's weight file for F-CAM's backbone; None where its weights are fetched or drawn.

    Raises:
        UserError: the file does not exist or is empty.
    """
    return _file("fcam", given) if fcam.pretrained else None


def check(settings: Settings) -> Source:
    """Check every input file that the active profile reads, and that the others exist; return the source of its images.

    Raises:
        UserError: one of those that are read is missing, empty, unreadable, or no data set; one of the others is
            missing, which DVC would tell in words of its own when it looks for changes.
    """
    encoder_file(settings.active.encoder, settings.inputs.path("encoder"))
    fcam_file(settings.active.fcam, settings.inputs.path("fcam"))
    source = data_source(settings.active.data, settings.inputs.path("data"))
    for name in NAMES:
        given = settings.inputs.path(name)
        if given is not None and not given.exists():
            raise UserError(
                f"inputs.{name} {given} does not exist; profile {settings.profile} does not read it, but DVC does: set"
                f" inputs.{name} to {NOTHING}"
            )
    return source


def _file(name: Name, given: Path | None) -> Path | None:
    if given is None:
        return None
    if given.is_dir():
        raise UserError(f"inputs.{name} {given} is a folder; {_name(name, 'FILE')}")
    try:
        with given.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        raise UserError(f"inputs.{name} {given} does not exist; {_name(name, 'FILE')}") from None
    except OSError as error:
        raise UserError(f"inputs.{name} {given} cannot be read ({error.strerror}); check its permissions") from None
    if empty:
        raise UserError(f"inputs.{name} {given} is empty; fetch it again")
    return given


def _name(name: Name, what: str) -> str:
    return f"name it by its absolute path, -S 'inputs.{name}=\"/.../{what}\"'"
