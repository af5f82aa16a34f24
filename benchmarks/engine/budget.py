"""How many steps an image and how many turns fit into the time that there is.

A cell is one implementation of one job, for one model and one number of images. It is timed in turns: some images of
the job, at least those of one image, then the bare model on about half as many. What can be chosen is how many masks or
steps an image has, and how many turns there are; both depend on how fast the machine runs the bare model.
"""

from __future__ import annotations

from dataclasses import dataclass

TURNS = 5  # the least number of turns of a cell
MOST_TURNS = 15
MOST_STEPS = 128  # masks or steps an image: a power of two, so that it divides the 224 x 224 pixels
LEAST_STEPS = 4
ALONE = 4  # times as many where there is one image only: its turns are parts of one run
EFFICIENCY = 0.85  # of all implementations together, to plan with


@dataclass(frozen=True)
class Pace:
    """What one turn of a model is where there are many images.

    Attributes:
        rate: images per second of the bare model.
        batch: images per forward pass, of the job and of the bare model.
        steps: masks or steps an image.
    """

    rate: float
    batch: int
    steps: int = LEAST_STEPS

    @property
    def job(self) -> int:
        """Images of the job in a turn: an image's, or a batch where that is more."""
        return max(self.steps, self.batch)

    @property
    def bare(self) -> int:
        """Images of the bare model in a turn."""
        return bare(self.job, self.batch)

    @property
    def seconds(self) -> float:
        """What a turn will take."""
        return (self.job / EFFICIENCY + self.bare) / self.rate


def bare(images: int, batch: int) -> int:
    """Images of the bare model after so many of the job: half as many, in whole batches."""
    return batch * max(1, round(images / 2 / batch))


def paces(rates: dict[str, float], batches: dict[str, int], least: int, cells: int, seconds: float) -> dict[str, Pace]:
    """As many steps as fit, by model; the model with the fewest is given more first.

    Args:
        rates: images per second of each bare model.
        batches: images per forward pass of each model, where the device decides nothing else.
        least: images per forward pass that keep all threads of a CPU busy, where its batches decide about little
            else; they are then half of an image's images, if not less, so that a slow model's turns are short. 0 on
            other devices.
        cells: of each model.
        seconds: for all cells together.
    """

    def pace(name: str, steps: int) -> Pace:
        batch = max(least, min(batches[name], steps // 2)) if least else batches[name]
        return Pace(rates[name], batch, steps)

    found = {name: pace(name, LEAST_STEPS) for name in rates}
    while growing := sorted((each.steps, name) for name, each in found.items() if each.steps < MOST_STEPS):
        for steps, name in growing:
            more = found | {name: pace(name, 2 * steps)}
            if TURNS * cells * sum(each.seconds for each in more.values()) <= seconds:
                found = more
                break
        else:
            return found
    return found


def turns(left: list[Pace], seconds: float) -> int:
    """How many turns each of the cells that are left may have, from :data:`TURNS` to :data:`MOST_TURNS`."""
    return min(MOST_TURNS, max(TURNS, int(seconds / sum(pace.seconds for pace in left))))
