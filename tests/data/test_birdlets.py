"""The drawn miniature: species, drawings, and the data set in CUB's layout."""

from __future__ import annotations

import hashlib
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ala.config.schema import Birdlets
from ala.data.birdlets import Attributes, caption, dataset, draw_dataset, draw_pair, draw_pairs, species
from ala.data.birdlets.anatomy import pose, rotation
from ala.data.birdlets.annotators import votes
from ala.data.birdlets.scene import draw_scene
from ala.data.birdlets.species import COLOURS, SETTINGS, attribute_space
from ala.data.birdlets.texture import crop, ramp
from ala.utils.errors import UserError

TINY = Birdlets(species=3, train_per_species=4, test_per_species=3, clutter=0.4, seed=5)


def of(number: int, seed: int = 0) -> Birdlets:
    return Birdlets(species=number, train_per_species=30, test_per_species=29, clutter=0.4, seed=seed)


def fingerprint(root: Path) -> dict[str, str]:
    return {
        str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(root.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("birdlets") / "dataset"
    draw_dataset(root, TINY)
    return root


def rows(file: Path) -> list[list[str]]:
    return [line.split(" ") for line in file.read_text(encoding="utf-8").splitlines()]


class TestSpecies:
    @pytest.mark.parametrize("number", [2, 3, 7, 20, 33, 40])
    def test_colours_alone_tell_all_species_apart(self, number: int) -> None:
        kinds = species(of(number))
        assert [one.number for one in kinds] == list(range(1, number + 1))
        assert len({(s.attributes.head, s.attributes.body, s.attributes.wing) for s in kinds}) == number
        assert len({one.folder for one in kinds}) == number

    @pytest.mark.parametrize("number", [120, 121, 200, 240])
    def test_as_many_species_as_there_are_birds(self, number: int) -> None:
        """Beyond the 120 colourings the crest tells; the first species are the same whatever their number."""
        kinds = species(of(number))
        assert [one.number for one in kinds] == list(range(1, number + 1))
        assert len({one.attributes for one in kinds}) == len({one.name for one in kinds}) == number
        assert kinds[:20] == species(of(20))

    def test_same_settings_same_species_another_seed_others(self) -> None:
        assert species(of(20)) == species(of(20))
        assert species(of(20)) != species(of(20, seed=1))

    def test_no_single_part_decides_between_two_species(self) -> None:
        """Any two of the first twenty differ in two or more of the three colours."""
        parts = [(s.attributes.head, s.attributes.body, s.attributes.wing) for s in species(of(20))]
        assert all(sum(a != b for a, b in zip(one, two, strict=True)) >= 2 for one, two in combinations(parts, 2))

    def test_colours_are_worn_evenly(self) -> None:
        parts = [(s.attributes.head, s.attributes.body, s.attributes.wing) for s in species(of(12))]
        for part in range(3):
            worn = [colours[part] for colours in parts]
            assert {worn.count(colour) for colour in COLOURS} <= {1, 2, 3}
        assert sum(s.attributes.crest for s in species(of(12))) == 6

    def test_attribute_space_is_larger_and_holds_the_species(self) -> None:
        space = attribute_space()
        assert len(space) == len(set(space)) == 6 * 5 * 4 * 2
        assert {one.attributes for one in species(of(40))} < set(space)

    def test_names_and_captions(self) -> None:
        red = Attributes("red", "blue", "yellow", True)
        assert caption(red, "forest") == (
            "a photo of a bird with a red head, a blue body, yellow wings and a crest, on a branch"
        )
        assert caption(Attributes("red", "blue", "yellow", False)).endswith("yellow wings and no crest")
        first = species(of(2))[0]
        assert re.fullmatch(r"001\.(Crested_)?[A-Z][a-z]+_headed_[A-Z][a-z]+_winged_[A-Z][a-z]+_Birdlet", first.folder)
        assert first.caption() == caption(first.attributes)


class TestDrawing:
    def test_texture_pieces(self) -> None:
        rng = np.random.default_rng(0)
        assert crop(rng, "cloud", 30, 50).shape == (30, 50)
        enlarged = crop(rng, "leafy", 31, 17, (2.5, 0.8))
        assert enlarged.shape == (31, 17)
        assert enlarged.dtype == np.uint8
        table = ramp(np.array([[0, 0, 0], [255, 100, 51]]))
        assert table[0].tolist() == [0, 0, 0]
        assert table[255].tolist() == [255, 100, 51]
        assert table[51].tolist() == [51, 20, 10]

    def test_pose_moves_as_a_whole(self) -> None:
        made = pose(np.random.default_rng(3), crest=True, flying=False)
        low, high = made.box()
        shifted = made.moved(np.eye(2) * 2, np.array([10.0, -4.0]))
        np.testing.assert_allclose(shifted.box()[0], 2 * low + [10, -4])
        np.testing.assert_allclose(shifted.box()[1], 2 * high + [10, -4])
        widths = [(a.width, b.width) for a, b in zip(made.parts, shifted.parts, strict=True) if a.width is not None]
        assert widths
        assert all(after == pytest.approx(2 * before) for before, after in widths)
        np.testing.assert_allclose(rotation(np.pi / 2) @ [1, 0], [0, 1], atol=1e-12)

    @pytest.mark.parametrize("crest", [False, True])
    def test_every_pose_shows_every_trait(self, crest: bool) -> None:
        for seed in range(40):
            made = pose(np.random.default_rng(seed), crest, flying=bool(seed % 2))
            kinds = {part.kind for part in made.parts}
            assert {"head", "body", "wing", "beak", "tail"} <= kinds
            assert ("crest" in kinds) == crest
            assert (made.feet is None) == (seed % 2 == 1)

    def test_species_shows_on_the_bird_only(self) -> None:
        """Two species in one and the same image differ on the bird and nowhere else (but in its reflection)."""
        compared = 0
        for seed in range(30):
            one, two = (
                draw_scene(np.random.default_rng(seed), Attributes(*colours, crest=True), 160, 120)
                for colours in (("red", "blue", "yellow"), ("white", "green", "black"))
            )
            assert one.setting == two.setting
            bird = np.asarray(one.silhouette) > 0
            np.testing.assert_array_equal(bird, np.asarray(two.silhouette) > 0)
            visible = bird & (np.asarray(one.occluders) == 0)
            differs = (np.asarray(one.image) != np.asarray(two.image)).any(axis=2)
            assert differs[visible].mean() > 0.7
            if not one.reflected:
                compared += 1
                assert not differs[~visible].any()
        assert compared > 15

    def test_reflection_is_outside_the_mask_and_below_the_bird(self) -> None:
        seen = 0
        for seed in range(120):
            one, two = (
                draw_scene(np.random.default_rng(seed), Attributes(*colours, crest=False), 160, 120)
                for colours in (("red", "blue", "yellow"), ("white", "green", "black"))
            )
            if not one.reflected:
                continue
            seen += 1
            assert one.setting == "water"
            differs = (np.asarray(one.image) != np.asarray(two.image)).any(axis=2)
            bird = np.asarray(one.silhouette) > 0
            mirrored = differs & ~bird
            assert mirrored.any()
            assert np.nonzero(mirrored)[0].mean() > np.nonzero(bird)[0].mean()
        assert seen >= 5

    def test_legs_belong_to_the_silhouette_not_to_the_trunk(self) -> None:
        for seed in range(10):
            scene = draw_scene(np.random.default_rng(seed), attribute_space()[seed], 160, 120)
            bird, trunk = (np.asarray(layer) > 0 for layer in (scene.silhouette, scene.trunk))
            assert not (trunk & ~bird).any()

    def test_all_settings_occur_with_every_species(self) -> None:
        rng = np.random.default_rng(0)
        seen = {draw_scene(rng, attribute_space()[0], 64, 48).setting for _ in range(60)}
        assert seen == set(SETTINGS)

    def test_box_sizes_are_near_those_of_cub(self) -> None:
        kinds = species(of(20))
        shares = []
        for number in range(160):
            drawn = dataset.draw_image(np.random.default_rng(number), kinds[number % 20], 0.4)
            shares.append(drawn.box[2] * drawn.box[3] / (drawn.image.width * drawn.image.height))
        assert 0.30 < np.mean(shares) < 0.40
        assert np.quantile(shares, 0.1) < 0.22
        assert np.quantile(shares, 0.9) > 0.48


class TestAnnotators:
    def test_they_agree_inside_and_disagree_at_the_border(self) -> None:
        y, x = np.mgrid[:60, :80]
        inside = (x - 40) ** 2 + (y - 30) ** 2 < 18**2
        disc = Image.fromarray((inside * 255).astype(np.uint8))
        grey = votes(np.random.default_rng(0), disc, disc, Image.new("L", (80, 60)))
        assert set(np.unique(grey)) <= {0, 51, 102, 153, 204, 255}
        distance = np.hypot(x - 40, y - 30)
        assert (grey[distance < 13] == 255).all()
        assert (grey[distance > 23] == 0).all()
        assert ((grey > 0) & (grey < 255)).any()
        assert ((grey > 127) & inside).sum() / ((grey > 127) | inside).sum() > 0.9

    def test_most_cut_out_what_hides_the_bird(self) -> None:
        full = Image.new("L", (40, 40), 255)
        bar = np.zeros((40, 40), np.uint8)
        bar[18:22] = 255
        means = [
            votes(np.random.default_rng(seed), full, full, Image.fromarray(bar))[bar > 0].mean() for seed in range(30)
        ]
        assert 20 < np.mean(means) < 90  # one in five keeps it


class TestPairs:
    def test_shape_and_determinism(self) -> None:
        pixels, words = draw_pair(np.random.default_rng(1), 48, TINY)
        again, same_words = draw_pair(np.random.default_rng(1), 48, TINY)
        assert pixels.shape == (48, 48, 3)
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, again)
        assert words == same_words

    def test_pair_i_does_not_depend_on_the_number_of_pairs(self) -> None:
        few, few_words = draw_pairs(3, 40, seed=2, settings=TINY)
        more, more_words = draw_pairs(6, 40, seed=2, settings=TINY)
        np.testing.assert_array_equal(few, more[:3])
        assert few_words == more_words[:3]
        assert not np.array_equal(few, draw_pairs(3, 40, seed=3, settings=TINY)[0])

    def test_less_clutter_hides_less(self) -> None:
        bare, full = (
            [draw_scene(np.random.default_rng(seed), attribute_space()[7], 96, 72, clutter) for seed in range(40)]
            for clutter in (0.0, 1.0)
        )
        assert not any(np.asarray(scene.occluders).any() for scene in bare)
        assert 5 < sum(np.asarray(scene.occluders).any() for scene in full) < 30

    def test_captions_tell_all_traits_and_mostly_of_known_species(self) -> None:
        _, words = draw_pairs(120, 24, seed=0, settings=TINY)
        known = tuple(one.caption() for one in species(TINY))
        assert 0.6 < np.mean([sentence.startswith(known) for sentence in words]) < 0.95
        places = "|".join(SETTINGS.values())
        colours = "|".join(COLOURS)
        traits = rf"a (?:{colours}) head, a (?:{colours}) body, (?:{colours}) wings and (?:a|no) crest"
        shape = re.compile(rf"a photo of a bird with {traits}(?:, (?:{places}))?")
        for sentence in words:
            assert shape.fullmatch(sentence), sentence
        assert any(sentence.endswith(tuple(SETTINGS.values())) for sentence in words)


class TestDataset:
    def test_lists_are_those_of_cub(self, drawn: Path) -> None:
        images, labels = rows(drawn / "images.txt"), rows(drawn / "image_class_labels.txt")
        flags, boxes = rows(drawn / "train_test_split.txt"), rows(drawn / "bounding_boxes.txt")
        classes = dict(rows(drawn / "classes.txt"))
        assert list(classes) == ["1", "2", "3"]
        ids = [str(i) for i in range(1, 22)]
        for table in (images, labels, flags, boxes, rows(drawn / "reflections.txt")):
            assert [row[0] for row in table] == ids
        assert [label for _, label in labels] == ["1"] * 7 + ["2"] * 7 + ["3"] * 7
        for (_, path), (_, label) in zip(images, labels, strict=True):
            assert path.split("/")[0] == classes[label]
        for number in range(3):
            assert sorted(flag for _, flag in flags[number * 7 : number * 7 + 7]) == ["0"] * 3 + ["1"] * 4
        assert all(re.fullmatch(r"\d+\.\d", value) for row in boxes for value in row[1:])

    def test_images_masks_and_boxes_fit(self, drawn: Path) -> None:
        levels: set[int] = set()
        for (_, path), box in zip(rows(drawn / "images.txt"), rows(drawn / "bounding_boxes.txt"), strict=True):
            mask_file = (drawn / "segmentations" / path).with_suffix(".png")
            with Image.open(drawn / "images" / path) as source_image, Image.open(mask_file) as mask:
                assert source_image.format == "JPEG"
                assert source_image.size == mask.size
                assert mask.mode == "L"
                assert 96 <= max(source_image.size) <= 160
                grey = np.asarray(mask)
            levels |= set(np.unique(grey).tolist())
            left, top, wide, tall = (int(float(value)) for value in box[1:])
            assert min(left, top) >= 0
            assert left + wide <= grey.shape[1]
            assert top + tall <= grey.shape[0]
            majority = grey > 127
            assert majority[top : top + tall, left : left + wide].sum() > 0.95 * majority.sum() > 0
        assert levels == {0, 51, 102, 153, 204, 255}

    def test_greyscale_images_have_a_stray_duplicate(self, drawn: Path) -> None:
        named = {path for _, path in rows(drawn / "images.txt")}
        found = {str(file.relative_to(drawn / "images")) for file in (drawn / "images").rglob("*.jpg")}
        strays = found - named
        assert len(strays) == 1
        assert named <= found
        for stray in strays:
            with Image.open(drawn / "images" / stray) as extra:
                assert extra.mode == "RGB"
            with Image.open(drawn / "images" / stray.replace("_rgb.jpg", ".jpg")) as original:
                assert original.mode == "L"

    def test_same_bytes_again_and_an_earlier_one_is_replaced(self, drawn: Path, tmp_path: Path) -> None:
        root = tmp_path / "again"
        draw_dataset(root, TINY.model_copy(update={"seed": 6}))
        assert fingerprint(root) != fingerprint(drawn)
        draw_dataset(root, TINY)
        assert fingerprint(root) == fingerprint(drawn)
        assert [file.name for file in tmp_path.iterdir()] == ["again"]

    def test_other_files_are_not_deleted(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(UserError, match="move it away"):
            draw_dataset(tmp_path, TINY)
        assert (tmp_path / "thesis.txt").exists()

    def test_nothing_half_drawn_is_left(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real, calls = dataset.draw_image, []

        def breaks(*arguments: object) -> dataset.DrawnImage:
            calls.append(1)
            if len(calls) == 5:
                raise KeyboardInterrupt
            return real(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(dataset, "draw_image", breaks)
        with pytest.raises(KeyboardInterrupt):
            draw_dataset(tmp_path / "dataset", TINY)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_processes_draw_what_one_draws(monkeypatch):
    few, words = draw_pairs(101, 24, seed=0, settings=TINY)
    monkeypatch.setattr("ala.data.birdlets.pairs._MANY", 1)
    monkeypatch.setattr("ala.data.birdlets.pairs.workers", lambda: 2)
    again, same = draw_pairs(101, 24, seed=0, settings=TINY)
    assert np.array_equal(few, again)
    assert words == same
