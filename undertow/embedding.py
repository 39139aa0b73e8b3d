"""Turn texts into unit vectors.

Two backends share one protocol, and vectors of different models, backends or precisions never meet:
``Embedder.name`` names all three and is stored with every vector.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from undertow.errors import ModelMissingError
from undertow.text import checked_texts, chunks, normalise

DEFAULT_MODEL = "all-MiniLM-L6-v2"
# The last digit counts changes of the export that move the vectors.
DEFAULT_MODEL_NAME = f"{DEFAULT_MODEL}/onnx/int8.1"
MODEL_FILE = "model.int8.onnx"
TOKENIZER_FILE = "tokenizer.json"
METADATA_FILE = "metadata.json"

SENTENCE_TRANSFORMERS_PREFIX = "st:"
# Texts handed to the threads at once: bounds what waits in memory.
_BLOCK = 1024

Vectors = NDArray[np.float32]
Progress = Callable[[int, int], None]
"""Called with the number of distinct texts done and their total."""


@runtime_checkable
class Embedder(Protocol):
    """Maps texts to points on the unit sphere.

    Attributes
    ----------
    name : str
        Model, backend and precision, such as ``all-MiniLM-L6-v2/onnx/int8.1``.
    dim : int
        Length of a vector.
    """

    name: str
    dim: int

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None) -> Vectors:
        """Embed texts; equal texts are embedded once.

        Parameters
        ----------
        texts : sequence of str
            A list of any strings, also empty ones, or an array of NumPy, pandas or Arrow; long ones are
            embedded in chunks, whose vectors are averaged with their lengths as weights.
        progress : callable, optional
            Called with the number of distinct texts done and their total.

        Returns
        -------
        float32 array of shape (len(texts), dim)
            Rows of unit length, in the order of the texts.
        """
        ...


def default_models_dir() -> Path:
    """Return the folder of exported models: ``UNDERTOW_MODELS_DIR``, else in the user's cache."""
    configured = os.environ.get("UNDERTOW_MODELS_DIR")
    return Path(configured).expanduser().absolute() if configured else user_cache_path("undertow") / "models"


def load_embedder(name: str | None = None, *, models_dir: Path | None = None) -> Embedder:
    """Load an embedding model.

    Parameters
    ----------
    name : str, optional
        None or the default model's own name for the exported int8 model; ``st:NAME`` or ``st:/path`` for
        any sentence-transformers model.
    models_dir : Path, optional
        Folder of exported models; by default :func:`default_models_dir`.

    Returns
    -------
    Embedder

    Raises
    ------
    ModelMissingError
        The model, or the package that runs it, is absent. No other model is taken in its place.
    """
    if name is None or name in (DEFAULT_MODEL, DEFAULT_MODEL_NAME):
        return OnnxEmbedder((models_dir or default_models_dir()) / DEFAULT_MODEL)
    if name.startswith(SENTENCE_TRANSFORMERS_PREFIX):
        return SentenceTransformersEmbedder(name.removeprefix(SENTENCE_TRANSFORMERS_PREFIX))
    raise ModelMissingError(
        f"No embedding model is called {name!r}. Expected {DEFAULT_MODEL!r}, or 'st:NAME' or 'st:/path' for a "
        "sentence-transformers model."
    )


class OnnxEmbedder:
    """The default model, exported to int8 and run by onnxruntime.

    Texts go through one at a time: nothing is padded, and a vector does not depend on its batch mates, as
    it would where activations are quantised over a batch.

    Parameters
    ----------
    folder : Path
        What :func:`undertow.model_export.export_default_model` wrote.
    threads : int, optional
        Texts embedded at the same time; by default one per processor, at most 8.
    """

    max_tokens = 256

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        self.threads = threads or min(os.cpu_count() or 1, 8)
        self.name = _exported_name(folder)
        self._session = _onnx_session(folder / MODEL_FILE)
        self._tokenizer = _bare_tokenizer(folder / TOKENIZER_FILE)
        self._first, self._last = self._tokenizer.encode("").ids
        self.dim = int(self._session.get_outputs()[0].shape[1])

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None) -> Vectors:
        """Embed texts; see :meth:`Embedder.encode`."""
        distinct, rows = _distinct(texts)
        vectors = np.empty((len(distinct), self.dim), np.float32)
        with ThreadPoolExecutor(self.threads) as pool:
            # onnxruntime releases the GIL, so threads over texts use every core without any padding:
            # 2.5 times the rate of one text at a time on two threads of its own.
            for start in range(0, len(distinct), _BLOCK):
                block = distinct[start : start + _BLOCK]
                for done, vector in enumerate(pool.map(self._embed, block), start):
                    vectors[done] = vector
                    if progress:
                        progress(done + 1, len(distinct))
        return vectors[rows]

    def _embed(self, text: str) -> Vectors:
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        pieces = chunks(len(ids), self.max_tokens - 2)
        vectors = [self._run([self._first, *ids[start:end], self._last]) for start, end in pieces]
        if len(vectors) == 1:
            return vectors[0]
        return _weighted_mean(np.stack(vectors), np.array([end - start for start, end in pieces]))

    def _run(self, ids: list[int]) -> Vectors:
        vector: Vectors = self._session.run(None, {"input_ids": np.array([ids], np.int64)})[0][0]
        return vector


class SentenceTransformersEmbedder:
    """Any model that sentence-transformers can load, on a GPU when there is one.

    Parameters
    ----------
    model : str
        Name on the Hugging Face hub, or a local folder, for which nothing is asked from the network.
    """

    batch_size = 32

    def __init__(self, model: str) -> None:
        folder = Path(model).expanduser()
        local = folder.is_dir()
        with _offline(local):
            self._model = _load_sentence_transformer(str(folder) if local else model, local)
        identity = f"{folder.resolve().name}-{weights_fingerprint(folder)}" if local else model
        precision = str(next(self._model.parameters()).dtype).removeprefix("torch.")
        self.name = f"{identity}/sentence-transformers/{precision}"
        self.dim = int(self._model.get_embedding_dimension())

    def encode(self, texts: Sequence[str], *, progress: Progress | None = None) -> Vectors:
        """Embed texts; see :meth:`Embedder.encode`."""
        distinct, rows = _distinct(texts)
        vectors = np.empty((len(distinct), self.dim), np.float32)
        # Neighbours in length share a batch, so that little of it is padding.
        order = sorted(range(len(distinct)), key=lambda row: len(distinct[row]))
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            vectors[batch] = self._embed([distinct[row] for row in batch])
            if progress:
                progress(start + len(batch), len(distinct))
        return vectors[rows]

    def _embed(self, texts: list[str]) -> Vectors:
        pieces = [self._pieces(text) for text in texts]
        flat = [piece for parts in pieces for piece, _ in parts]
        encoded = self._model.encode(
            flat, batch_size=self.batch_size, normalize_embeddings=True, show_progress_bar=False
        )
        vectors = iter(np.asarray(encoded, np.float32))
        return np.stack(
            [
                _weighted_mean(np.stack([next(vectors) for _ in parts]), np.array([weight for _, weight in parts]))
                for parts in pieces
            ]
        )

    def _pieces(self, text: str) -> list[tuple[str, int]]:
        """Cut a text where its tokens are more than the model takes; return pieces and their tokens."""
        limit = (self._model.max_seq_length or 512) - 2
        # A token has at least one character in nearly every tokenizer, so a short text needs no count.
        if len(text) <= limit:
            return [(text, 1)]
        encoded = self._model.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
        )
        offsets = encoded["offset_mapping"]
        if len(offsets) <= limit:
            return [(text, 1)]
        return [(text[offsets[a][0] : offsets[b - 1][1]], b - a) for a, b in chunks(len(offsets), limit)]


def _distinct(texts: Sequence[str]) -> tuple[list[str], NDArray[np.intp]]:
    """Return the distinct NFC texts and, for each given text, its row among them."""
    seen: dict[str, int] = {}
    rows = [seen.setdefault(normalise(text), len(seen)) for text in checked_texts(texts)]
    return list(seen), np.array(rows, np.intp)


def _weighted_mean(vectors: Vectors, weights: NDArray[Any]) -> Vectors:
    """Average unit vectors of shape (n, dim) and return to unit length, shape (dim,)."""
    mean = weights.astype(np.float32) @ vectors
    length = float(np.linalg.norm(mean))
    # Opposite chunks cancel only in theory; the first one then stands for the text.
    return np.asarray(mean / length if length > 0 else vectors[0], np.float32)


def _exported_name(folder: Path) -> str:
    """Return the name that the export recorded, which must be the one this version makes."""
    try:
        name = str(json.loads((folder / METADATA_FILE).read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError, TypeError):
        name = "nothing"
    if name != DEFAULT_MODEL_NAME or not all((folder / f).is_file() for f in (MODEL_FILE, TOKENIZER_FILE)):
        raise ModelMissingError(
            f"The embedding model is not exported: {folder} holds {name}, expected {DEFAULT_MODEL_NAME}. "
            "Run: make model (without make: python -m undertow.model_export)"
        )
    return name


def _onnx_session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The graph is written fused; the extended level would fuse the normalisations into a slower kernel.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _bare_tokenizer(path: Path) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    # As packaged it pads every text to 128 tokens.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _load_sentence_transformer(model: str, local: bool) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ModelMissingError(
            f"The model {model!r} needs sentence-transformers, which is not installed. "
            "Install it: pip install 'undertow[st]'"
        ) from error
    try:
        with _quiet(local or not sys.stderr.isatty()):
            return SentenceTransformer(model, local_files_only=local).eval()
    except (OSError, ValueError) as error:
        raise ModelMissingError(
            f"sentence-transformers could not load {model!r}: {error}. "
            "Give a local folder, or a model name that this machine can download."
        ) from error


@contextmanager
def _quiet(enabled: bool) -> Iterator[None]:
    """Leave out the bars of transformers, which tell something to people who wait for a download alone."""
    from transformers.utils import logging

    bars: Any = logging  # its switches carry no types
    if enabled and bars.is_progress_bar_enabled():
        bars.disable_progress_bar()
        try:
            yield
        finally:
            bars.enable_progress_bar()
    else:
        yield


@contextmanager
def _offline(enabled: bool) -> Iterator[None]:
    """Keep the Hugging Face hub off the network while a local model is loaded."""
    before = os.environ.get("HF_HUB_OFFLINE")
    if enabled:
        os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if enabled and before is None:
            del os.environ["HF_HUB_OFFLINE"]
        elif enabled and before is not None:
            os.environ["HF_HUB_OFFLINE"] = before


def weights_fingerprint(folder: Path) -> str:
    """Digest of a local model's weights: two fine-tunings in folders of one name are two models."""
    digest = hashlib.sha256()
    for path in sorted((*folder.rglob("*.safetensors"), *folder.rglob("*.bin"))):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:8]
