"""Settings: `params.yaml` as frozen, validated objects. `load` reads a file, the classes say what is allowed."""

from ala.config.load import load
from ala.config.schema import Profile, Settings

__all__ = ["Profile", "Settings", "load"]
