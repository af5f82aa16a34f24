"""Settings: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from ala.config import load
from ala.config.schema import ROWS, variant_name
from ala.utils.errors import UserError

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"


@pytest.fixture
def changed(tmp_path: Path):
    """Load params.yaml with one text replaced; the replaced text must be there."""

    def change(*pairs: tuple[str, str]):
        text = PARAMS.read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "params.yaml"
        path.write_text(text)
        return load(path)

    return change


def test_the_projects_own_file_is_valid_and_complete():
    settings = load(PARAMS)
    assert settings.main_variant == "aea-true-sbn-true"
    assert set(settings.profiles) == {"mini", "photos", "paper", "rehearsal"}
    assert settings.ablations == list(ROWS)
    assert len(settings.seeds) >= 3


def test_paper_profile_is_what_the_authors_ran():
    paper = load(PARAMS).profiles["paper"]
    assert (paper.data.input_size, paper.encoder.norm, paper.encoder.tag) == (384, "imagenet", "openai")
    assert paper.ala.sbn.fusion_map == [(0, 0), (3, 1), (6, 2), (9, 3)]
    assert (paper.train.lr, paper.train.batch, paper.train.clip_norm) == (5e-5, 8, 0.01)
    assert paper.ala.lambda_ab == pytest.approx(1 / 15, abs=1e-6)
    assert (paper.rise.n_masks, paper.rise.grid, paper.rise.p1) == (4000, 7, 0.5)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("      precision: bf16", "      precision: auto",
         "profiles.paper.engine.precision: 'auto': choose fp32 or bf16"),
        ("blur: 0.0, sharpen: 0.0}\n      precision: fp32", "blur: 0.0, sharpen: 0.0}\n      precision: auto",
         "profiles.mini.train.precision: 'auto': choose fp32 or bf16"),
        ("p1: 0.5, seed: 0, output: probabilities, batch: 64}", "p1: 0.5, seed: 0, output: probabilities, batch: auto}",
         "profiles.mini.rise.batch: 'auto': a number of images is needed, such as 64"),
        ("box_step: 0.01\n      batch: 64", "box_step: 0.01\n      batch: auto",
         "profiles.mini.metrics.batch: 'auto': a number of images is needed, such as 64"),
    ],
)  # fmt: skip
def test_auto_is_refused_with_the_choices(changed, old, new, sentence):
    with pytest.raises(UserError) as reported:
        changed((old, new))
    (line,) = reported.value.args[1:]
    assert line.startswith(sentence)
    assert line.endswith("is written with the results")


@pytest.mark.parametrize("line", ["      precision: bf16", "      compile: false", "      precision: fp32"])
def test_no_default_decides_how_networks_are_run(changed, line):
    with pytest.raises(UserError, match="is missing"):
        changed((f"\n{line}", "\n      # nothing"))


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load(PARAMS).aea = False


@pytest.mark.parametrize("text", ["1e-05", "'1e-05'", "1.0e-05", "0.00001"])
def test_small_numbers_are_numbers_however_dvc_writes_them(changed, text):
    assert changed(("      lr: 1.0e-3", f"      lr: {text}")).active.train.lr == 1e-5


@pytest.mark.parametrize("text", ["off", "no", "'false'", "0", "null", "on"])
def test_only_true_and_false_are_booleans(changed, text):
    with pytest.raises(UserError, match=r"aea: .*valid boolean"):
        changed(("aea: true ", f"aea: {text} "))


@pytest.mark.parametrize("text", ["true", "'fast'", ".inf", "-1", ".nan", "[1]", "1e999"])
def test_a_learning_rate_is_a_positive_finite_number(changed, text):
    with pytest.raises(UserError, match=r"profiles\.mini\.train\.lr"):
        changed(("      lr: 1.0e-3", f"      lr: {text}"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("profile: mini", "profile: huge", "profile 'huge' does not exist; choose one of mini, photos, paper"),
        ("seeds: [0, 1, 2]", "seeds: [0, 1, 1]", "seeds: [0, 1, 1]: names 1 twice; remove one of them"),
        ("seeds: [0, 1, 2]", "seeds: []", "at least 1 item"),
        ("ablations: [i, ii,", "ablations: [i, v,", "ablations.1: 'v': input should be 'i', 'ii', 'iii' or 'iv'"),
        ("ablations: [i, ii,", "ablations: [i, i,", "'iii', 'iv']: names i twice; remove one of them"),
        ("ablations: [i, ii, iii, iv]", "ablations: {i: {aea: true, sbn: false}}",
         "ablations: is a mapping; write the names of the rows, which the paper defines: [i, ii, iii, iv]"),
        ("        heads: 2", "        heads: 5", "heads (5) must divide width (32)"),
        ("        patch: 8", "        patch: 7", "ala.sbn.patch (7) must divide data.input_size (80)"),
        ("[0, 0], [1, 1]", "[0, 0], [1, 9]", "fusion_map names side blocks beyond depth (4): [[1, 9]]"),
        ("[[0, 0], [1, 1], [2, 2], [3, 3]]", "[]", "fusion_map is empty"),
        ("[[0, 0], [1, 1], [2, 2], [3, 3]]", "{1: 0, 2: 1}",
         "mini.ala.sbn.fusion_map: is a mapping, to which `dvc exp run -S` would only add; write it as a list of pairs:"
         " [[1, 0], [2, 1]]"),
        ("[0, 0], [1, 1]", "[1, 0], [1, 1]", "fusion_map: [[1, 0], [1, 1], [2, 2], [3, 3]]: names 1 twice"),
        ("options: [[pad_type, same]]", "options: {pad_type: same}",
         "photos.encoder.options: is a mapping, to which `dvc exp run -S` would only add; write it as a list of pairs:"
         " [[pad_type, same]]"),
        ("options: [[pad_type, same]]", "options: [[a, 1], [a, 2]]", "names a twice; remove one of them"),
        ("options: [[pad_type, same]]", "options: [[checkpoint_path, /x.pth]]",
         "checkpoint_path would read weights that no stage depends on; remove it and name the file in inputs"),
        ("seeds: [0, 1, 2]", "seeds: 3", "seeds: 3: is no list; write [3], with dvc exp run -S 'seeds=[3]'"),
        ("extensions: []", "extensions: lora",
         "extensions: 'lora': is no list; write [lora], with dvc exp run -S 'extensions=[lora]'"),
        ("kappas: [0.5, 0.75, 1.0, 1.25, 1.5]", "kappas: 0.5", "kappas: 0.5: is no list; write [0.5], with dvc exp run"
         " -S 'profiles.mini.edge.kappas=[0.5]'"),
        ("  data: inputs/none ", "  data: photos ", "inputs.data: 'photos': is a relative path, which names another"),
        ("  data: inputs/none ", "  data: ~/photos ", "write the absolute path, or inputs/none for none"),
        ("  fcam: inputs/none ", "  fcam: '/x/w.pt ' #", "inputs.fcam: '/x/w.pt ': begins or ends with a space"),
        ("  data: inputs/none ", "  data: null #", "inputs.data: None: null is no path"),
        ("      source: folder ", "      root: /x\n      source: folder ",
         "photos.data.root: is no setting any more; name it by inputs.data (-S 'inputs.data=\"/its/path\"')"),
        ("      source: download ", "      archives: /x\n      source: download ",
         "paper.data.archives: is no setting any more; name it by inputs.data"),
        ("      name: timm:", "      checkpoint: null\n      name: timm:",
         "photos.encoder.checkpoint: is no setting any more; name it by inputs.encoder"),
        ("      backbone: resnet50", "      checkpoint: /x\n      backbone: resnet50",
         "paper.fcam.checkpoint: is no setting any more; name it by inputs.fcam"),
        ("name: open_clip:birdlet-clip", "name: open_clip:birdlet-clip/openai",
         "name requests weights openai, weights for packaged ones; remove /openai"),
        ("name: open_clip:birdlet-clip", "name: birdlet-clip",
         "mini.encoder.name: 'birdlet-clip': is neither timm:MODEL nor open_clip:MODEL/WEIGHTS; write e.g. timm:vit_"),
        ("name: timm:mobilenetv2_100", "name: timm:a/b", "photos.encoder.name: 'timm:a/b': is neither timm:MODEL nor"),
        ("weights: packaged", "weights: shipped", "mini.encoder.weights: 'shipped': input should be 'pretr"),
        ("      options: []\n      norm: clip\n", "      options: [[a, 1]]\n      norm: clip\n",
         "options are for timm models; an open_clip model is chosen by its name, set options to []"),
        ("source: birdlets", "source: download", "source download needs downloads"),
        ("train_per_species: 30", "train_per_species: 25", "must exceed data.train_per_class"),
        ("      blur_kernel: 81", "      blur_kernel: 60", "metrics.blur_kernel: 60: must be odd"),
        ("      step: 160 ", "      step: 16000 ", "metrics.step (16000) exceeds the 6400 pixels"),
        ("main_rho: 2", "main_rho: 4", "errors: main_rho (4) is not one of rho (1.5, 2, 3)"),
        ("rho: [1.5, 2, 3]", "rho: [0.5, 2, 3]", "profiles.mini.errors.rho.0: 0.5: input should be greater"),
        ("worst_share: 0.0172592", "worst_share: 100", "errors.worst_share: 100: input should be less than"),
        ("      low: 0.66", "      low: 2", "edge: low (2) exceeds high (1.33)"),
        ("      dilate: 3", "      dilate: 4", "edge.dilate: 4: must be odd"),
        ("      kappas: [0.5,", "      kappas: [0,", "edge.kappas.0: 0: input should be greater than 0"),
        ("guided: {radius: [2, 4, 8]", "guided: {radius: []", "edge.guided.radius: []: list should have at least"),
        ("aea: true ", "aeaa: true ", "aeaa: unknown setting"),
        ("    rise: {n_masks: 500,", "    rise: {", "profiles.mini.rise.n_masks: is missing"),
        ("weights: packaged", "weights: random", "pretrain is not read with weights random; set it to null"),
        ("weights: pretrained          # -S", "weights: train  # -S", "weights train are those of an open_clip model"),
        ("weights: pretrained          # downl", "weights: random  #", "name requests weights openai, weights for"),
        ("open_clip:ViT-B-16/openai\n      weights: pretrained", "open_clip:ViT-B-16\n      weights: random",
         "rehearse on drawn birds, not on data.source download"),
    ],
)  # fmt: skip
def test_one_sentence_for_each_mistake(changed, old, new, message):
    with pytest.raises(UserError) as caught:
        changed((old, new))
    assert message in str(caught.value)


def test_all_mistakes_are_reported_at_once(changed):
    with pytest.raises(UserError) as caught:
        changed(
            ("profile: mini", "profile: huge"), ("aea: true ", "aea: off "), ("      lr: 1.0e-3", "      lr: fast"),
            ("        heads: 2", "        heads: 5"), ("seeds: [0, 1, 2]", "seed: 0\nseeds: [0]"),
        )  # fmt: skip
    text = str(caught.value)
    for part in ("'huge'", "aea: 'off'", "profiles.mini.train.lr: 'fast'", "heads (5)", "seed: unknown setting"):
        assert part in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("profile: mini\nprofile: mini\n", 'found duplicate key "profile" (line 2, column 1)'),
        ("profile: [", "not readable as YAML"),
        ("\tprofile: mini", "not readable as YAML"),
        ("- a\n- b\n", "must hold settings by name"),
        ("", "must hold settings by name"),
        ("a: !!python/object/apply:os.system ['true']", "not readable as YAML"),
    ],
)
def test_files_that_are_no_settings(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load(tmp_path / "params.yaml")


def test_variant_names_spell_the_switches():
    assert variant_name(True, False) == "aea-true-sbn-false"
