"""F-CAM (Belharbi et al., WACV 2022), written from the description in METHODS 4 alone."""

from ala.explainers.fcam.model import Fcam, Trained, load_fcam, save_fcam
from ala.explainers.fcam.train import train_fcam

__all__ = ["Fcam", "Trained", "load_fcam", "save_fcam", "train_fcam"]
