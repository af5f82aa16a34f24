"""Make the captions and the pre-training of the drawn miniature's encoder."""

from __future__ import annotations

from typing import Any

import torch

from ala.config.schema import Data, EncoderSettings
from ala.contracts.preprocessing import Preprocessing
from ala.data.birdlets import draw_pairs, species
from ala.encoders.build import Trainer
from ala.utils.checkpoint import Checkpoint


def captions_and_trainer(
    data: Data, settings: EncoderSettings, device: torch.device | str, work: Checkpoint | None = None
) -> tuple[list[list[str]] | None, Trainer | None]:
    """Make arguments of :func:`ala.encoders.build.build_encoder`: one caption per class, and the contrastive training.

    Both are None where the images are not drawn, and for random weights: a rehearsal takes the path of photographs,
    whose classes have names only. The training is None also where `settings` request none; `work` keeps its
    state between epochs.
    """
    birdlets = data.birdlets
    if data.source != "birdlets" or birdlets is None or settings.weights == "random":
        return None, None
    captions = [[one.caption()] for one in species(birdlets)]
    training = settings.pretrain
    if training is None or settings.weights != "train":
        return captions, None

    def train(config: dict[str, Any], preprocessing: Preprocessing) -> Any:
        from ala.encoders.pretrain import pretrain

        pixels, words = draw_pairs(training.pairs, preprocessing.size, training.seed, birdlets)
        texts = [text for texts in captions for text in texts]
        return pretrain(config, preprocessing, training, pixels, words, texts, device, work)

    return captions, train
