"""F-CAM (Belharbi et al., WACV 2022), written from the description in METHODS 4 alone."""

from torch import Tensor

from ala.explainers.attention import own_maps
from ala.explainers.fcam.model import Fcam, Trained, load_fcam, save_fcam
from ala.explainers.fcam.train import train_fcam

__all__ = ["Fcam", "ForegroundMap", "Trained", "load_fcam", "save_fcam", "train_fcam"]


class ForegroundMap:
    """The decoder's foreground probabilities, of F-CAM's own classifier (METHODS 4.4); it knows no target class.

    Args:
        model: a trained F-CAM.
        batch: images per forward pass.
    """

    label = "F-CAM"
    explains = "own"
    class_agnostic = calibrated = True

    def __init__(self, model: Fcam, batch: int = 64) -> None:
        self.model, self.batch = model, batch

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        """Maps `(B, S, S)` in [0, 1]."""
        return own_maps(self.model.explain, images, self.batch)
