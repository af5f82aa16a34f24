"""A tokeniser for captions from a small set of words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ala.utils.errors import UserError

_WORD = re.compile(r"[a-z]+|[^\sa-z]")


class WordTokeniser:
    """One id for each word: 0 pads, 1 begins a text, 2.. are the words in alphabetical order, the highest id ends it.

    open_clip's text tower reads the embedding at the highest id of a text, as OpenAI's tokeniser has it.

    Args:
        texts: those whose words make up the vocabulary.
        vocab_size: ids that the text tower has.
        context_length: tokens that the text tower takes.

    Raises:
        UserError: the words do not fit into `vocab_size`.
    """

    def __init__(self, texts: Iterable[str], vocab_size: int, context_length: int) -> None:
        words = sorted({word for text in texts for word in split(text)})
        if len(words) + 3 > vocab_size:
            raise UserError(
                f"the captions have {len(words)} words, but text_cfg.vocab_size of the encoder's configuration is"
                f" {vocab_size}; raise it to {len(words) + 3} or more"
            )
        self.context_length = context_length
        self.ids = {word: number for number, word in enumerate(words, start=2)}
        self.end = vocab_size - 1

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Token ids int64 `(n, context_length)`.

        Raises:
            UserError: a text is too long, or has a word that is not in the vocabulary.
        """
        ids = torch.zeros(len(texts), self.context_length, dtype=torch.int64)
        for row, text in enumerate(texts):
            words = split(text)
            unknown = [word for word in words if word not in self.ids]
            if unknown:
                raise UserError(f"caption {text!r} has the word {unknown[0]!r}, which no training caption has")
            if len(words) + 2 > self.context_length:
                raise UserError(
                    f"caption {text!r} has {len(words)} words, but text_cfg.context_length of the encoder's"
                    f" configuration is {self.context_length}; raise it to {len(words) + 2} or more"
                )
            line = [1, *(self.ids[word] for word in words), self.end]
            ids[row, : len(line)] = torch.tensor(line)
        return ids


def split(text: str) -> list[str]:
    """Lower-case words and punctuation marks of a text, in order."""
    return _WORD.findall(text.lower())
