"""Learn the directions of wording of the built-in embedding model, for ``analysis/drift/style.py``.

    python scripts/fit_style_axes.py

The same requests are written in different ways; the mean shift of each way, over subjects that have
nothing in common, spans the axes of wording. The quietest directions of the same sentences are stored
beside them: by these, vectors of another model are recognised and left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from analysis.embed import load_embedder

TARGET = Path(__file__).parents[1] / "analysis" / "drift" / "style_axes.npz"
AXES = 12
QUIET = 32
SUBJECTS = (
    "the invoice from March", "my broken headset", "the meeting room on floor two", "a table for four",
    "the parking permit", "the server outage", "my bank statement", "a flight to Lisbon",
    "the recipe for lentil soup", "the contract renewal", "the weather in Oslo", "the lost parcel",
    "my gym membership", "a dentist appointment", "the printer driver", "the tax form", "an electric car",
    "the school holidays", "the concert tickets", "a python script", "the kitchen sink", "chess openings",
    "the history of Rome", "my aunt's knee surgery",
)  # fmt: skip
# Formal beside casual wording of one request.
REQUESTS = (
    ("What is the procedure for changing {x}?", "how do i change {x}?"),
    ("Which conditions apply to {x}?", "is there anything i need to know about {x}?"),
    ("Please provide the details of {x}.", "tell me about {x}"),
    ("Could you kindly inform me of the status of {x}?", "what's up with {x}?"),
    ("State the cost of {x}.", "how much do i pay for {x}?"),
    ("I would like to request a cancellation of {x}.", "can you drop {x}, i don't want it anymore"),
    ("What are the requirements concerning {x}?", "what do I need for {x}?"),
    ("Which documentation is required regarding {x}?", "do I have to bring any papers for {x}?"),
    ("Explain the advantages of {x}.", "why would anybody want {x}?"),
    ("Provide recommendations for {x}.", "any good tips for {x}?"),
)
WAYS: tuple[Callable[[str], str], ...] = (
    lambda text: f"Hello, I hope this finds you well. {text} Thank you very much.",
    lambda text: f"Hi there! {text} Thanks a lot!",
    lambda text: f"Dear team, {text} Kind regards.",
    lambda text: f"hey, {text} cheers",
    lambda text: f"Good morning. I have a question: {text} I would appreciate your help.",
    lambda text: f"Sorry to bother you. {text} Many thanks in advance.",
    lambda text: f"{text} Answer quickly, this is urgent!!!",
    lambda text: f"{text} Please answer in one short sentence.",
    lambda text: f"You are a helpful assistant. {text} Think step by step.",
    lambda text: f"lol ok so {text.lower()} haha",
    lambda text: text.rstrip("?.") + "!!!",
    lambda text: text.rstrip("?.") + " pls asap thx",
    lambda text: " ".join(word for word in text.rstrip("?.").split() if len(word) > 3),
    lambda text: text.replace("e", "").replace("ou", "u"),
    lambda text: f"{text} 🙏😊",
)


def main() -> None:
    """Fit the axes and write them."""
    embed = load_embedder().encode
    formal = [request.format(x=subject) for subject in SUBJECTS for request, _ in REQUESTS]
    casual = [request.format(x=subject) for subject in SUBJECTS for _, request in REQUESTS]
    rows = np.asarray(embed(formal + casual))
    first, second = rows[: len(formal)], rows[len(formal) :]
    by_request = (second - first).reshape(len(SUBJECTS), len(REQUESTS), -1).mean(axis=0)
    some = slice(None, None, 5)
    worded = np.asarray([embed([way(text) for text in formal[some]]) for way in WAYS])
    shifts = np.concatenate([by_request, worded.mean(axis=1) - first[some].mean(axis=0)])
    axes = np.linalg.svd(shifts, full_matrices=False)[2][:AXES]
    everything = np.concatenate([rows, *worded])
    quiet = np.linalg.eigh(np.cov(everything.T))[1][:, :QUIET].T
    np.savez_compressed(TARGET, axes=axes.astype(np.float32), quiet=quiet.astype(np.float32))
    kept = ((shifts @ axes.T) ** 2).sum() / (shifts**2).sum()
    print(f"{len(shifts)} shifts, {AXES} axes hold {kept:.0%} of their energy; written to {TARGET}")


if __name__ == "__main__":
    main()
