"""Attention Branch: from mask logits to the attention map, and a second classification (METHODS 2.4)."""

from __future__ import annotations

from torch import Tensor, nn

from ala.config.schema import AttentionSettings


def minmax(maps: Tensor, eps: float = 1e-7) -> Tensor:
    """Scale each map of `(B, ..., h, w)` to [0, 1] by itself; a constant map becomes 0."""
    low = maps.amin((-2, -1), keepdim=True)
    high = maps.amax((-2, -1), keepdim=True)
    return (maps - low) / (high - low + eps)


def pointwise(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Apply the 1x1 convolution `conv` to `(B, C, h, w)`: `(B, out, h, w)`.

    As a product of matrices, since a convolution's gradient is slow on CPUs where channels are few: ten times as slow
    for the one of the map.
    """
    mixed = conv.weight.flatten(1) @ x.flatten(2)  # (B, out, h * w)
    if conv.bias is not None:
        mixed = mixed + conv.bias[:, None]
    return mixed.unflatten(2, x.shape[-2:])


class AttentionBranch(nn.Module):
    """Map mask logits M `(B, Q, g, g)` to alpha `(B, 1, g, g)` in [0, 1] and logits `(B, K)`.

    * `minmax` (ALA): alpha = min-max(dropout(Conv1x1(M))); logits by BN, Conv1x1 to `hidden`, ReLU, Conv1x1 to K, GAP.
      The two share nothing but M. Dropout acts on the cells of the one-channel map, in training only.
    * `sigmoid` (ABN): a trunk BN, Conv1x1 to K, BN, ReLU; alpha = sigmoid(BN(Conv3x3)); logits by Conv1x1 and GAP.
      Dropout acts on the map before the sigmoid.

    The last 1x1 convolution before GAP is a linear layer after GAP here: both are linear, so the result is the same.
    """

    def __init__(self, channels: int, classes: int, settings: AttentionSettings) -> None:
        super().__init__()
        self.kind = settings.kind
        self.dropout = nn.Dropout(settings.map_dropout)
        if settings.kind == "minmax":
            hidden = settings.hidden
            self.map = nn.Conv2d(channels, 1, 1)
            self.trunk = nn.Sequential(nn.BatchNorm2d(channels), nn.Conv2d(channels, hidden, 1), nn.ReLU())
            self.classify = nn.Linear(hidden, classes)
        else:
            self.trunk = nn.Sequential(
                nn.BatchNorm2d(channels), nn.Conv2d(channels, classes, 1, bias=False), nn.BatchNorm2d(classes),
                nn.ReLU(),
            )  # fmt: skip
            self.map = nn.Conv2d(classes, 1, 3, padding=1, bias=False)
            self.map_norm = nn.BatchNorm2d(1)
            self.classify = nn.Linear(classes, classes, bias=False)

    def forward(self, masks: Tensor) -> tuple[Tensor, Tensor]:
        norm, mix, *rest = self.trunk
        assert isinstance(mix, nn.Conv2d)
        trunk = pointwise(norm(masks), mix)  # (B, hidden or K, g, g)
        for part in rest:
            trunk = part(trunk)
        if self.kind == "minmax":
            alpha = minmax(self.dropout(pointwise(masks, self.map)))  # (B, 1, g, g)
        else:
            alpha = self.dropout(self.map_norm(self.map(trunk))).sigmoid()  # (B, 1, g, g)
        return alpha, self.classify(trunk.mean((-2, -1)))
