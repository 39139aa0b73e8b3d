"""Door to the kernel's embedder and vector search."""

from undertow.embedding import load_embedder
from undertow.search import nearest

__all__ = ["load_embedder", "nearest"]
