from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from undertow.embedding import DEFAULT_MODEL_NAME, Embedder, OnnxEmbedder, default_models_dir, load_embedder
from undertow.errors import ModelMissingError


def test_vectors_do_not_depend_on_the_number_of_threads(embedder: Embedder):
    texts = [f"Question number {n} about topic {n % 7}" for n in range(40)]
    one = OnnxEmbedder(default_models_dir() / "all-MiniLM-L6-v2", threads=1)
    np.testing.assert_array_equal(one.encode(texts), embedder.encode(texts))


def test_the_default_model_answers_to_its_own_names(embedder: Embedder):
    assert load_embedder(DEFAULT_MODEL_NAME).name == load_embedder("all-MiniLM-L6-v2").name == embedder.name


def test_progress_counts_up_to_the_distinct_texts(embedder: Embedder):
    seen: list[tuple[int, int]] = []
    embedder.encode(["a", "b", "a", "c"], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_an_unknown_name_is_refused_and_what_would_work_is_said():
    with pytest.raises(ModelMissingError, match="'gpt-9'.*st:NAME"):
        load_embedder("gpt-9")


def test_the_default_model_runs_without_torch(embedder: Embedder):
    program = "import sys; from analysis.embed import load_embedder; load_embedder().encode(['x']); "
    command = [sys.executable, "-c", program + "print('torch' in sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
