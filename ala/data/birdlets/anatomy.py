"""The outline of a bird in a pose: polygons in the bird's own units, before it is put into an image.

The bird faces right, y grows downwards, and its body is about two units long. Parts are listed from back to front.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_TURN = np.linspace(0, 2 * np.pi, 36, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)  # (36, 2)


@dataclass
class Part:
    """A painted shape of a bird: outline, kind of part, colour.

    `kind` says what it is: tail, body, belly, head, crest, wing, beak, eye, glint, leg, feather (a line on a wing).
    `points` is (n, 2). `width` is None for a filled polygon, else the thickness of a line.
    `shade` multiplies the colour.
    """

    kind: str
    points: np.ndarray
    width: float | None = None
    shade: float = 1.0


@dataclass
class Pose:
    """A posed bird: its parts, where its feet are (None in flight), and the outline box of all parts."""

    parts: list[Part]
    feet: np.ndarray | None  # (2,)

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Top-left and bottom-right corner, each (2,)."""
        points = np.concatenate([part.points for part in self.parts])
        return points.min(axis=0), points.max(axis=0)

    def moved(self, matrix: np.ndarray, shift: np.ndarray) -> Pose:
        """The pose under `p -> matrix p + shift`; line widths grow with the matrix's scale."""
        scale = float(np.sqrt(abs(np.linalg.det(matrix))))
        parts = [
            Part(p.kind, p.points @ matrix.T + shift, None if p.width is None else p.width * scale, p.shade)
            for p in self.parts
        ]
        return Pose(parts, None if self.feet is None else matrix @ self.feet + shift)


def rotation(angle: float) -> np.ndarray:
    """The matrix (2, 2) that turns by `angle` radians; with y downwards, positive is clockwise to the eye."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def _ellipse(centre: np.ndarray, a: float, b: float, angle: float = 0.0, egg: float = 0.0) -> np.ndarray:
    """Compute the outline of an ellipse (36, 2); with `egg` > 0 the end towards +x is fatter."""
    points = _CIRCLE * (a, b)
    points[:, 1] *= 1 + egg * _CIRCLE[:, 0]
    return points @ rotation(angle).T + centre


def _fan(root: np.ndarray, angles: np.ndarray, lengths: np.ndarray, notch: float) -> np.ndarray:
    """A fan of feathers: from `root`, tips at `angles` and `lengths`, cut back to `notch` of it between them."""
    between = (angles[:-1] + angles[1:]) / 2
    valley = np.minimum(lengths[:-1], lengths[1:]) * notch
    around = np.empty(2 * len(angles) - 1)
    reach = np.empty_like(around)
    around[0::2], around[1::2] = angles, between
    reach[0::2], reach[1::2] = lengths, valley
    tips = root + reach[:, None] * np.stack([np.cos(around), np.sin(around)], axis=1)
    return np.concatenate([root[None], tips])


def _head(rng: np.random.Generator, centre: np.ndarray, radius: float, look: float, crest: bool) -> list[Part]:
    """Crest, head, beak and eye of a head seen from the side, looking along the angle `look`."""
    facing = np.cos(look) >= 0
    ahead = np.array([np.cos(look), np.sin(look)])
    up = np.array([ahead[1], -ahead[0]]) if facing else np.array([-ahead[1], ahead[0]])
    parts = []
    if crest:
        middle = np.arctan2(*(up - 0.75 * ahead)[::-1])
        angles = middle + np.linspace(-0.85, 0.85, int(rng.integers(4, 6)))
        lengths = radius * rng.uniform(2.0, 2.5) * np.linspace(0.85, 1.0, len(angles))
        parts.append(Part("crest", _fan(centre, angles if facing else angles[::-1], lengths, 0.62)))
    parts.append(Part("head", _ellipse(centre, radius * 1.06, radius, look)))
    length, half = radius * rng.uniform(0.6, 1.05), radius * rng.uniform(0.22, 0.34)
    base = centre + ahead * radius * 0.88
    parts.append(Part("beak", np.stack([base + up * half, base + ahead * length - up * half * 0.2, base - up * half])))
    eye = centre + ahead * radius * 0.38 + up * radius * 0.22
    parts.append(Part("eye", _ellipse(eye, radius * 0.19, radius * 0.19)))
    parts.append(Part("glint", _ellipse(eye + (up + ahead) * radius * 0.05, radius * 0.07, radius * 0.07)))
    return parts


def _legs(rng: np.random.Generator, hips: np.ndarray, length: float) -> tuple[list[Part], np.ndarray]:
    """Two legs with toes below `hips` (2, 2); also the point between the feet."""
    feet = hips + np.array([0.06, length]) * rng.uniform(0.9, 1.05, (2, 1))
    parts = []
    for hip, foot in zip(hips, feet, strict=True):
        toes = foot + np.array([[-0.14, 0.05], [0.0, 0.0], [0.2, 0.05]])
        parts += [Part("leg", np.stack([hip, foot]), 0.075), Part("leg", toes, 0.06)]
    return parts, feet.mean(axis=0)


def _folded_wing(rng: np.random.Generator, turn: np.ndarray, b: float) -> list[Part]:
    """A wing laid along the body: a drop from the shoulder to a tip near the tail, with lines of feathers."""
    tip = np.array([-1.12, 0.02 + rng.uniform(-0.1, 0.1)])
    t = np.linspace(0, np.pi, 10)
    front = np.array([0.16, -0.04]) + np.stack([0.4 * np.sin(t), -b * 0.62 * np.cos(t)], axis=1)
    outline = np.concatenate([front, [[-0.35, b * 0.58], tip, [-0.45, -b * 0.58]]])
    parts = [Part("wing", outline @ turn.T)]
    for share in (0.15, 0.5, 0.85):
        start = np.array([0.25, -b * 0.5 + share * b])
        line = np.stack([start, start * 0.4 + tip * 0.6 + [0.0, (share - 0.5) * b * 0.25], tip])
        parts.append(Part("feather", line @ turn.T, 0.035))
    return parts


def _open_wing(
    rng: np.random.Generator, shoulder: np.ndarray, angle: float, sweep: float, reach: float, shade: float = 1.0
) -> list[Part]:
    """A spread wing: a fan from `shoulder`, its leading edge at `angle`, opened by `sweep` towards the tail."""
    count = int(rng.integers(6, 8))
    angles = angle + np.linspace(0, sweep, count)
    lengths = reach * np.linspace(1.0, 0.52, count) * rng.uniform(0.96, 1.04, count)
    outline = _fan(shoulder, angles, lengths, 0.9)
    parts = [Part("wing", outline, shade=shade)]
    for a, length in zip(angles[1:-1], lengths[1:-1], strict=True):
        ray = np.array([np.cos(a), np.sin(a)])
        parts.append(Part("feather", np.stack([shoulder + ray * length * 0.4, shoulder + ray * length * 0.9]), 0.035))
    return parts


def _side(rng: np.random.Generator, crest: bool, spread: bool) -> Pose:
    """Draw the pose of a bird seen from the side, perched or with raised wings."""
    b = rng.uniform(0.54, 0.68)
    lean = -rng.uniform(0.05, 0.85)
    turn = rotation(lean)
    tail_length, tail_width = rng.uniform(0.55, 1.1), rng.uniform(0.14, 0.26)
    tail_turn = rotation(rng.uniform(-0.25, 0.25))
    tail = np.array(
        [[0, -0.2], [-tail_length, -tail_width], [-tail_length * 1.06, 0], [-tail_length, tail_width], [0, 0.2]]
    )
    radius = rng.uniform(0.5, 0.58)
    neck = turn @ np.array([0.66, -0.1])
    head = neck + np.array([rng.uniform(0.05, 0.3), -rng.uniform(0.3, 0.5)])
    look = rng.uniform(-0.35, 0.35)
    if rng.random() < 0.15:
        look = np.pi - look  # looking back
    parts: list[Part] = []
    if spread:
        parts += _open_wing(rng, turn @ np.array([0.3, -0.3]), -rng.uniform(0.9, 1.3), -0.9, rng.uniform(1.5, 2.0), 0.8)
    parts.append(Part("tail", (tail @ tail_turn.T + [-0.78, 0.0]) @ turn.T, shade=0.85))
    legs, feet = _legs(
        rng, turn @ np.array([-0.1, 0.0]) + np.array([[-0.08, b * 0.75], [0.22, b * 0.75]]), rng.uniform(0.4, 0.65)
    )
    parts += legs
    parts.append(Part("body", _ellipse(np.zeros(2), 1.0, b, lean, egg=0.12)))
    parts.append(Part("belly", _ellipse(turn @ np.array([0.2, b * 0.42]), 0.6, b * 0.42, lean)))
    across = np.array([[0, -1], [1, 0]]) @ (head - neck) / np.linalg.norm(head - neck)
    neck_back = neck * 0.75
    collar = [head + across * radius * 0.9, neck_back + across * radius * 0.9, neck_back - across * radius * 0.8]
    parts.append(Part("head", np.stack([*collar, head - across * radius * 0.9])))
    parts += _head(rng, head, radius, look, crest)
    if spread:
        parts += _open_wing(rng, turn @ np.array([0.15, -0.2]), -rng.uniform(1.5, 1.9), -1.0, rng.uniform(1.6, 2.2))
    else:
        parts += _folded_wing(rng, turn, b)
    return Pose(parts, feet)


def _front(rng: np.random.Generator, crest: bool) -> Pose:
    """Draw the pose of a bird seen from the front, wings at the flanks, turned a little to one side."""
    a, b = rng.uniform(0.72, 0.86), rng.uniform(0.92, 1.1)
    yaw = rng.uniform(-0.22, 0.22)
    radius = rng.uniform(0.54, 0.62)
    head = np.array([yaw, -b * 0.86 - rng.uniform(0.1, 0.3)])
    tail = np.array([[-0.2, 0.5], [0.2, 0.5], [0.26, b + 0.35], [-0.26, b + 0.35]])
    parts = [Part("tail", tail - np.array([yaw, 0.0]), shade=0.85)]
    legs, feet = _legs(rng, np.array([[-0.3, b * 0.85], [0.24, b * 0.85]]), rng.uniform(0.35, 0.55))
    parts += legs
    parts.append(Part("body", _ellipse(np.zeros(2), b, a, np.pi / 2, egg=0.1)))
    parts.append(Part("belly", _ellipse(np.array([yaw * 0.6, b * 0.3]), a * 0.5, b * 0.5)))
    t = np.linspace(0, np.pi, 12)
    for side, depth in ((-1, 0.42 - yaw), (1, 0.42 + yaw)):
        outer = np.stack([side * (a * 0.62 + 0.4 * a * np.sin(t)), -b * 0.62 + (b * 1.5) * t / np.pi], axis=1)
        inner = np.stack([side * (a * (1.0 - depth) - 0.1 * np.sin(t)), -b * 0.5 + (b * 1.3) * t / np.pi], axis=1)[::-1]
        parts.append(Part("wing", np.concatenate([outer, inner])))
        parts.append(Part("feather", (outer[2:-1] + inner[::-1][2:-1]) / 2, 0.035))
    if crest:
        angles = -np.pi / 2 + np.linspace(-0.85, 0.85, 5)
        lengths = radius * rng.uniform(1.95, 2.35) * np.array([0.85, 0.95, 1.0, 0.95, 0.85])
        parts.append(Part("crest", _fan(head, angles, lengths, 0.62)))
    parts.append(Part("head", _ellipse(head, radius * 1.03, radius)))
    aim = head + np.array([yaw * 0.9, radius * 0.15])
    beak = np.array([[-0.3, -0.1], [0.3, -0.1], [yaw * 1.5, 0.5]]) * radius + aim
    parts.append(Part("beak", beak))
    for side in (-1, 1):
        eye = aim + np.array([side * radius * 0.52, -radius * 0.25])
        parts.append(Part("eye", _ellipse(eye, radius * 0.17, radius * 0.17)))
        parts.append(Part("glint", _ellipse(eye - radius * 0.05, radius * 0.06, radius * 0.06)))
    return Pose(parts, feet)


def _flight(rng: np.random.Generator, crest: bool) -> Pose:
    """Draw the pose of a bird in flight, seen obliquely from above or below: both wings out, no legs."""
    b = rng.uniform(0.42, 0.52)
    fold = rng.uniform(0.55, 1.0)  # foreshortening of the wings
    near, far = rng.uniform(1.4, 1.75, 2)
    radius = rng.uniform(0.46, 0.54)
    head = np.array([1.05, rng.uniform(-0.18, 0.02)])
    opening = rng.uniform(-0.3, 0.3, 2)
    parts = _open_wing(rng, np.array([0.35, -0.05]), -1.2 + opening[0], -1.0, far * fold, 0.85)
    spread = rng.uniform(0.2, 0.4)
    parts.append(
        Part(
            "tail",
            _fan(
                np.array([-0.7, 0.0]),
                np.pi + np.linspace(-spread, spread, 5),
                np.full(5, rng.uniform(0.65, 0.95)),
                0.93,
            ),
            shade=0.85,
        )
    )
    parts.append(Part("body", _ellipse(np.zeros(2), 1.05, b, 0.0, egg=0.12)))
    parts.append(Part("belly", _ellipse(np.array([0.2, b * 0.4]), 0.6, b * 0.4)))
    parts += _head(rng, head, radius, rng.uniform(-0.25, 0.25), crest)
    parts += _open_wing(rng, np.array([0.25, 0.12]), 1.15 + opening[1], 1.0, near * fold)
    return Pose(parts, None)


def pose(rng: np.random.Generator, crest: bool, flying: bool) -> Pose:
    """A random pose with random proportions; `flying` has spread wings and no ground under the feet."""
    if flying:
        made = _flight(rng, crest) if rng.random() < 0.6 else _side(rng, crest, spread=True)
        if made.feet is not None:  # legs are drawn up in flight
            made = Pose([part for part in made.parts if part.kind != "leg"], None)
        turn = rotation(rng.normal(0, 0.35))
    else:
        made = _front(rng, crest) if rng.random() < 0.28 else _side(rng, crest, spread=rng.random() < 0.07)
        turn = rotation(rng.normal(0, 0.1))
    stretch = np.diag([rng.uniform(0.86, 1.0), 1.0])  # a change of viewpoint foreshortens the bird
    mirror = np.diag([-1.0 if rng.random() < 0.5 else 1.0, 1.0])
    return made.moved(mirror @ turn @ stretch, np.zeros(2))
