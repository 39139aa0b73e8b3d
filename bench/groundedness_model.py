"""The encoder as it is trained: MiniLM with one output per word piece, in torch."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from groundedness_data import Example
from torch import Tensor, nn
from torch.nn import functional

from analysis.groundedness.windows import MEETINGS, MODEL_PACKAGE

_TOKEN_POSITIVE_WEIGHT = 2.0
_SENTENCE_WEIGHT = 0.5


class TokenJudge(nn.Module):
    """Log odds for every word piece that it is unsupported, and for every sentence.

    The word embeddings stay as they are, so that they need not be shipped: the package of the embedding model has
    them, and words that the training never saw keep their place among those that it saw.
    """

    def __init__(self) -> None:
        super().__init__()
        from transformers import BertModel
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        self.bert = BertModel.from_pretrained(
            Path(str(files(MODEL_PACKAGE))) / "model",
            add_pooling_layer=False,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            local_files_only=True,
            # The fused kernel takes three times as long backwards on a processor.
            attn_implementation="eager",
        )
        self.bert.embeddings.word_embeddings.weight.requires_grad_(requires_grad=False)
        # One row for each way in which a word piece of either side meets the other.
        sides = self.bert.embeddings.token_type_embeddings.weight.detach()
        rows = sides.repeat_interleave(MEETINGS, 0) + 0.02 * torch.randn(2 * MEETINGS, sides.shape[1])
        self.bert.embeddings.token_type_embeddings = nn.Embedding.from_pretrained(rows, freeze=False)
        self.token = nn.Linear(384, 1)
        self.sentence = nn.Parameter(torch.tensor([1.0, 0.0]))
        nn.init.normal_(self.token.weight, std=0.02)
        nn.init.constant_(self.token.bias, -3.0)

    def forward(self, ids: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        """Return (batch, tokens) log odds."""
        with torch.autocast("cpu", torch.bfloat16):
            hidden = self.bert(input_ids=ids, token_type_ids=types, attention_mask=mask).last_hidden_state
        odds: Tensor = self.token(hidden.float()).squeeze(-1)
        return odds

    def state(self) -> dict[str, Tensor]:
        """Return everything that training changes."""
        return {
            name: value.detach().contiguous()
            for name, value in self.named_parameters()
            if "word_embeddings" not in name
        }


def collate(examples: Sequence[Example]) -> tuple[Tensor, Tensor, Tensor]:
    """Pad windows to (batch, tokens): ids, types, mask."""
    longest = max(len(e.ids) for e in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    types, mask = torch.zeros_like(ids), torch.zeros_like(ids)
    for row, example in enumerate(examples):
        n = len(example.ids)
        ids[row, :n] = torch.tensor(example.ids)
        types[row, :n] = torch.tensor(example.types)
        mask[row, :n] = 1
    return ids, types, mask


def loss_of(model: TokenJudge, examples: Sequence[Example]) -> Tensor:
    """Return the loss of a batch: wrong words where they are marked, and wrong sentences always."""
    odds = model(*collate(examples))
    tokens: list[Tensor] = []
    token_labels: list[int] = []
    sentences: list[Tensor] = []
    sentence_labels: list[int] = []
    for row, example in enumerate(examples):
        said = odds[row, list(example.at)]
        if example.token_labels:
            tokens.append(said)
            token_labels.extend(example.token_labels)
        index = torch.tensor(example.sentence)
        for i, label in enumerate(example.sentence_labels):
            sentences.append(torch.logsumexp(said[index == i], 0))
            sentence_labels.append(label)
    scale, shift = model.sentence
    by_sentence = functional.binary_cross_entropy_with_logits(
        torch.stack(sentences) * scale + shift, torch.tensor(sentence_labels, dtype=torch.float)
    )
    if not tokens:
        return _SENTENCE_WEIGHT * by_sentence
    by_token = functional.binary_cross_entropy_with_logits(
        torch.cat(tokens),
        torch.tensor(token_labels, dtype=torch.float),
        pos_weight=torch.tensor(_TOKEN_POSITIVE_WEIGHT),
    )
    return by_token + _SENTENCE_WEIGHT * by_sentence


def judge(model: TokenJudge, examples: Sequence[Example], batch: int = 32) -> list[Any]:
    """Return for every window the (n,) log odds of its response's word pieces."""
    found: list[Any] = [None] * len(examples)
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].ids))
    with torch.no_grad():
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            odds = model(*collate([examples[i] for i in rows]))
            for row, i in enumerate(rows):
                found[i] = odds[row, list(examples[i].at)].numpy()
    return found
