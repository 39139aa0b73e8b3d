"""Reads for topics of answers and of retrieved documents."""

from __future__ import annotations

from undertow.store.read_parts import STANDS_FOR_TURN

# A call's documents have the topic of the first of them.
_SAID = {
    "response": f"""
SELECT interaction_id, response_text_hash AS content_hash, response AS text, start_time, load_seq,
       {STANDS_FOR_TURN} AS stands
FROM semantic_interactions WHERE response_text_hash IS NOT NULL AND load_seq <= $head
""",
    "document": f"""
WITH top AS (
    SELECT interaction_id, arg_min(content_hash, coalesce(rank, 0)) AS content_hash,
           arg_min(content, coalesce(rank, 0)) AS text
    FROM documents WHERE content IS NOT NULL AND content_hash IS NOT NULL GROUP BY interaction_id
)
SELECT interaction_id, content_hash, text, start_time, load_seq, {STANDS_FOR_TURN} AS stands
FROM semantic_interactions JOIN top USING (interaction_id) WHERE load_seq <= $head
""",
}

CALLS = {
    field: f"SELECT * EXCLUDE (text) FROM ({said}) ORDER BY start_time, interaction_id" for field, said in _SAID.items()
}

TEXTS = {
    field: f"SELECT DISTINCT ON (content_hash) content_hash, text FROM ({said}) ORDER BY content_hash"
    for field, said in _SAID.items()
}

ASSIGNED = "SELECT interaction_id, topic_id FROM topic_assignments WHERE field = $field"
