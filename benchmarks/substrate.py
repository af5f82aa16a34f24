"""Which substrate may insertion start from? What the models still see in the fully blurred image, on validation images.

    dvc repro train abn fcam && python -m benchmarks.substrate

Every evaluated model of every seed predicts each validation image as it is, and again after every pixel was replaced by
a substrate: the official blur with larger and larger kernels (sigma is half of the size, as in the official 11 and 5),
true Gaussians, the image's mean colour, and zero, which is deletion's substrate. `p` is the probability of the class
predicted on the whole image, mean over images; `accuracy` counts the true class. Chance is 1 / K for both.

The rule: of the official blurs the smallest at which every model, averaged over seeds, keeps at most a tenth of what
the whole image gains over chance, which is what the report calls near chance (`ala.report.ends.FAR`); if none does, the
largest. A first rule, stated before any number was seen, asked the mean over models to lie within 0.05 of chance and
took 61; the report then called the start of the main model far above chance, so there is one rule for both now. A
profile's settings follow it by hand (`metrics.blur_kernel`, `metrics.blur_sigma`); `paper` keeps the official kernel.
Test images are never read.

Then insertion from the official kernel and from the one that the rule takes, on the same validation images: does it
tell methods from noise? Each map on the model that it explains; RISE on the main model, with the profile's masks.

Writes benchmarks/results/substrate-PROFILE.csv and substrate-insertion-PROFILE.csv, one row per model and seed, and the
means with their standard deviation over seeds into docs/deviations.md, between two markers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ala.config import load

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from ala.config.schema import Settings
    from ala.data.image_cache import ImageCache
    from ala.pipeline.context import Context

SIZES = (11, 21, 31, 41, 61, 81, 121, 161, 241, 321)  # of the official blur; sigma = (size - 1) / 2
SIGMAS = (5, 10, 20, 40)  # of true Gaussians
SHOWN = {"noise": "uniform noise", "center": "centred Gaussian", "rise": "RISE", "abn": "ABN", "fcam": "F-CAM"}


def name_of(size: int) -> str:
    """An official blur in the tables, e.g. `blur 11, σ 5`."""
    return f"blur {size}, σ {(size - 1) // 2}"


def substrates(images: torch.Tensor) -> dict[str, torch.Tensor]:
    """What can replace normalised `images` `(B, 3, S, S)`, by name; the official blurs first."""
    from ala.metrics.insertion_deletion import blur_kernel, blurred

    found = {name_of(size): blurred(images, blur_kernel(size, (size - 1) / 2).to(images.device)) for size in SIZES}
    for sigma in SIGMAS:
        found[f"Gaussian, σ {sigma}"] = blurred(images, blur_kernel(6 * sigma + 1, sigma).to(images.device))
    found["mean colour of the image"] = images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    found["zero (mean colour of the data)"] = images.new_zeros(images.shape)
    return found


def predictions(model: Any, images: ImageCache, batch: int, device: torch.device) -> list[dict[str, Any]]:
    """One row per substrate and one for the image itself: `p` and `accuracy` of `model`, means over all
    `normalised`."""
    import numpy as np
    import torch

    sums: dict[str, list[float]] = {}
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            indices = np.arange(start, min(start + batch, len(images)))
            normalised = model.preprocessing.normalise(images.pixels(indices).to(device))  # (B, 3, S, S)
            labels = torch.as_tensor(images.labels[indices], device=device)
            targets = model(normalised).argmax(dim=1)  # (B,)
            for name, seen in {"the image itself": normalised, **substrates(normalised)}.items():
                found = model(seen.contiguous())  # (B, K)
                p, right = sums.setdefault(name, [0.0, 0.0])
                sums[name] = [p + float(found.gather(1, targets[:, None]).sum()),
                              right + float((found.argmax(dim=1) == labels).sum())]  # fmt: skip
    return [
        {"substrate": name, "p": p / len(images), "accuracy": right / len(images)} for name, (p, right) in sums.items()
    ]


def chosen(table: pd.DataFrame, chance: float) -> int:
    """The size that the rule takes, from rows with `substrate`, `model`, `seed` and `p`."""
    from ala.report.ends import FAR

    p = table.groupby(["substrate", "model"])["p"].mean()  # over seeds
    gained = p["the image itself"] - chance  # by model
    near = [size for size in SIZES if (p[name_of(size)] - chance <= FAR * gained).all()]
    return near[0] if near else SIZES[-1]


def maps_of(name: str, model: Any, val: ImageCache, context: Context) -> Any:
    """Importance `(n, h, w)` of all validation images by the method `name`."""
    import numpy as np

    from ala.perturbation import predict
    from ala.pipeline.explain import explain
    from ala.pipeline.methods import resolve
    from benchmarks.opened import rise_maps

    if name == "rise":  # of all images, not of the subset
        everything, settings = np.arange(len(val)), context.profile.rise
        targets = predict(model, val, everything, settings.batch, context.device).argmax(axis=1)
        return rise_maps(model, val, everything, targets, settings, context.device)
    return explain(context, resolve(name, context.settings), "val").view(val.image_ids)


def insertions(
    settings: Settings, models: Path, image_cache: Path, sizes: list[int], device: torch.device
) -> pd.DataFrame:
    """Area of insertion on validation images: one row per method, seed and size of the kernel."""
    import numpy as np
    import pandas as pd

    from ala.data.image_cache import ImageCache
    from ala.metrics.curves import area
    from ala.metrics.insertion_deletion import blur_kernel, insertion_deletion
    from ala.perturbation import predict
    from benchmarks.opened import context_of, evaluated

    metrics, lines = settings.active.metrics, []
    for seed in settings.seeds:
        for name in ("noise", "center", "rise", settings.main_variant, "abn", "fcam"):
            context = context_of(settings, seed, device, image_cache, models)
            model = evaluated(context, name).classifier
            val = ImageCache.open(image_cache / str(model.preprocessing.size), "val")
            indices = np.arange(len(val))
            maps = maps_of(name, model, val, context)
            full = predict(model, val, indices, metrics.batch, device)
            for size in sizes:
                curves = insertion_deletion(
                    model, val, indices, maps, full, method=name, step=metrics.step,
                    kernel=blur_kernel(size, (size - 1) / 2), seed=metrics.subset_seed, batch=metrics.batch,
                    device=device, reference_size=settings.active.data.input_size, curve="insertion",
                )  # fmt: skip
                lines.append({
                    "substrate": name_of(size), "method": name, "seed": seed, "images": len(indices),
                    "start": curves.insertion[:, 0].mean(), "end": curves.insertion[:, -1].mean(),
                    "insertion": area(curves.insertion).mean(), "device": device.type,
                })  # fmt: skip
    return pd.DataFrame(lines)


def with_spread(values: pd.Series) -> str:
    """Mean ± sample standard deviation over seeds."""
    return f"{values.mean():.3f}" + (f" ± {values.std():.3f}" if len(values) > 1 else "")


def pages(table: pd.DataFrame, inserted: pd.DataFrame, chance: float, main_variant: str) -> str:
    """Both tables in Markdown, with what the rule takes."""
    import pandas as pd

    first = []
    for name, part in table.groupby("substrate", sort=False):
        by_model = part.groupby("model")["p"].mean()
        over_seeds = part.groupby("seed")[["p", "accuracy"]].mean()  # over models
        first.append({
            "every pixel replaced by": name, "p": with_spread(over_seeds["p"]),
            "lowest and highest model": f"{by_model.min():.3f} to {by_model.max():.3f}",
            "accuracy": with_spread(over_seeds["accuracy"]),
        })  # fmt: skip
    second = []
    noise = inserted[inserted["method"] == "noise"].set_index(["substrate", "seed"])["insertion"]
    for (name, method), part in inserted.groupby(["substrate", "method"], sort=False):
        gain = part.set_index(["substrate", "seed"])["insertion"] - noise
        second.append({
            "insertion from": name, "method": "ALA" if method == main_variant else SHOWN[str(method)],
            "start": with_spread(part["start"]), "end": with_spread(part["end"]),
            "Insertion": with_spread(part["insertion"]), "above noise": with_spread(gain.dropna()),
        })  # fmt: skip
    order = {name: place for place, name in enumerate(inserted["substrate"].unique())}
    second.sort(key=lambda line: order[line["insertion from"]])
    return "\n\n".join([
        f"Chance: {chance:.3f}. The rule takes `{name_of(chosen(table, chance))}`.",
        pd.DataFrame(first).to_markdown(index=False, disable_numparse=True),
        pd.DataFrame(second).to_markdown(index=False, disable_numparse=True),
    ])  # fmt: skip


def main(
    params: Annotated[Path, typer.Option(help="The settings; the profile they name is used.")] = Path("params.yaml"),
    image_cache: Annotated[Path, typer.Option(help="Images by image size.")] = Path("data/image_cache"),
    models: Annotated[Path, typer.Option(help="Trained models.")] = Path("models"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "cpu",
    out: Annotated[Path, typer.Option(help="Folder of the tables.")] = Path("benchmarks/results"),
    page: Annotated[Path, typer.Option(help="The page with the markers.")] = Path("docs/deviations.md"),
) -> None:
    """Measure, apply the rule and write the tables."""
    import pandas as pd

    from ala.data.image_cache import ImageCache
    from ala.pipeline.methods import VARIANTS
    from ala.report.readme import update
    from ala.utils.device import resolve
    from benchmarks.opened import context_of, evaluated

    settings, where = load(params), resolve(device)
    lines: list[dict[str, Any]] = []
    for name in (*VARIANTS, "abn", "fcam"):
        for seed in settings.seeds:
            model = evaluated(context_of(settings, seed, where, image_cache, models), name).classifier
            val = ImageCache.open(image_cache / str(model.preprocessing.size), "val")
            found = predictions(model, val, 64, where)
            lines += [{"model": name, "seed": seed, "images": len(val), "device": where.type, **row} for row in found]
    table, chance = pd.DataFrame(lines), 1 / len(val.names)
    sizes = list(dict.fromkeys([SIZES[0], chosen(table, chance)]))
    inserted = insertions(settings, models, image_cache, sizes, where)
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / f"substrate-{settings.profile}.csv", index=False, float_format="%.4f")
    inserted.to_csv(out / f"substrate-insertion-{settings.profile}.csv", index=False, float_format="%.4f")
    text = pages(table, inserted, chance, settings.main_variant)
    update(page, text, f"substrate, {settings.profile}")
    typer.echo(text)


if __name__ == "__main__":
    typer.run(main)
