from __future__ import annotations

import open_clip
import pytest
import torch

from ala.encoders.text import class_features, class_words, prompts
from ala.encoders.words import WordTokeniser, split
from ala.utils.errors import UserError


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("001.Black_footed_Albatross", "Black footed Albatross"),
        ("123.Prothonotary_Warbler", "Prothonotary Warbler"),
        ("Mourning_Cloak", "Mourning Cloak"),
    ],
)
def test_class_words(folder, words):
    assert class_words(folder) == words


def test_prompts():
    assert prompts(["010.Painted_Lady"]) == [["a photo of a Painted Lady, a type of bird."]]


def test_words_are_numbered_between_begin_and_end():
    tokenise = WordTokeniser(["A red bird,", "a blue head"], vocab_size=10, context_length=6)
    # 0 pads, 1 begins, then: "," a bird blue head red, and 9 ends.
    assert tokenise.ids == {",": 2, "a": 3, "bird": 4, "blue": 5, "head": 6, "red": 7}
    assert tokenise(["a bird", "a RED bird,"]).tolist() == [[1, 3, 4, 9, 0, 0], [1, 3, 7, 4, 2, 9]]
    assert split("No crest, by 2 waters") == ["no", "crest", ",", "by", "2", "waters"]


def test_the_vocabulary_does_not_depend_on_the_order_of_texts():
    texts = ["a red bird", "a blue head"]
    assert WordTokeniser(texts, 10, 6).ids == WordTokeniser(texts[::-1], 10, 6).ids


def test_texts_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match=r"have 3 words, but .*vocab_size .* is 5; raise it to 6"):
        WordTokeniser(["a red bird"], vocab_size=5, context_length=6)
    tokenise = WordTokeniser(["a red bird"], vocab_size=6, context_length=4)
    with pytest.raises(UserError, match="the word 'green', which no training caption has"):
        tokenise(["a green bird"])
    with pytest.raises(UserError, match=r"has 3 words, but .*context_length .* is 4; raise it to 5"):
        tokenise(["a red bird"])


def test_class_features_are_unit_means_of_unit_vectors(tiny_config):
    torch.manual_seed(0)
    model = open_clip.CLIP(**tiny_config).eval()
    tokenise = WordTokeniser(["a red bird", "a blue head"], 16, 8)
    features = class_features(model, tokenise, [["a red bird"], ["a blue head", "a bird"]])
    with torch.no_grad():
        alone = [model.encode_text(tokenise([text]))[0] for text in ("a red bird", "a blue head", "a bird")]
    one, two, three = (vector / vector.norm() for vector in alone)
    mean = (two + three) / 2
    torch.testing.assert_close(features, torch.stack([one, mean / mean.norm()]))
    assert not features.requires_grad
