"""The trained encoder as an int8 ONNX graph without word embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undertow.model_export import _LAYERS as LAYERS
from undertow.model_export import _MICROSOFT as MICROSOFT
from undertow.model_export import _OPSET as OPSET
from undertow.model_export import _GraphBuilder as GraphBuilder

# Longest window: 156 + 92 word pieces and three marks, with a little room.
POSITIONS = 256
PREFIX = "bert."

Floats = NDArray[np.float32]


def build_graph(tensors: Mapping[str, Floats]) -> bytes:
    """Return the serialised graph.

    Parameters
    ----------
    tensors
        What `TokenJudge.state` returned.

    Returns
    -------
    bytes
        Inputs `words` float32 (1, n, 384), the word embeddings, and `types` int64 (1, n); output `odds` float32
        (1, n).
    """
    from onnx import TensorProto, helper

    weights = {name.removeprefix(PREFIX): value.astype(np.float32) for name, value in tensors.items()}
    graph = GraphBuilder(weights)
    x = _embedded(graph)
    for index in range(LAYERS):
        x = graph.layer(x, index)
    column = graph.constant("token.weight", weights["token.weight"].T)
    graph.node("MatMul", [x, column], "token.product")
    graph.node("Add", ["token.product", graph.constant("token.bias", weights["token.bias"])], "token.out")
    graph.node("Squeeze", ["token.out", graph.constant("last_axis", np.array([-1], np.int64))], "odds")
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "groundedness-encoder",
            [
                helper.make_tensor_value_info("words", TensorProto.FLOAT, [1, "tokens", 384]),
                helper.make_tensor_value_info("types", TensorProto.INT64, [1, "tokens"]),
            ],
            [helper.make_tensor_value_info("odds", TensorProto.FLOAT, [1, "tokens"])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)],
        producer_name="undertow",
    )
    model.ir_version = 10
    serialised: bytes = model.SerializeToString()
    return serialised


def _embedded(graph: Any) -> str:
    """Add position and type to the word embeddings."""
    types = graph.constant("types.table", graph.weights["embeddings.token_type_embeddings.weight"])
    typed = graph.node("Gather", [types, "types"], "types.out")
    shape = graph.node("Shape", ["types"], "tokens.n", start=1, end=2)
    placed = graph.node(
        "Slice",
        [
            graph.constant("positions", graph.weights["embeddings.position_embeddings.weight"][None, :POSITIONS]),
            graph.constant("zero", np.zeros(1, np.int64)),
            shape,
            graph.constant("one", np.ones(1, np.int64)),
        ],
        "positions.out",
    )
    placed = graph.node("Add", ["words", placed], "placed")
    return str(graph.layer_norm(placed, typed, "embeddings.LayerNorm"))
