"""Fine-tune the encoder of groundedness in bounded steps.

    nice python bench/train_groundedness.py PATH --work FOLDER --steps 900

PATH holds `ragtruth_qa_train.jsonl.gz` and `wice.jsonl.gz`; a quarter of RAGTruth's sources and half of WiCE's are
never trained on. Every hundred steps a checkpoint is written to FOLDER, and the same command goes on from there; with
a smaller `--steps` the learning rate falls earlier. One step is about 2,048 word pieces.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import torch
from groundedness_data import (
    HELD_OUT,
    SEED,
    WICE_HELD_OUT,
    Answer,
    AnswerWriter,
    Example,
    ExampleMaker,
    gather,
    read_answers,
    split,
)
from groundedness_model import TokenJudge, loss_of
from groundedness_wordnet import WordNet
from safetensors.torch import load_file, save_file

BATCH_TOKENS = 2048
CHECKPOINT_EVERY = 100
PEAK_RATE = 1.6e-4
WARM_UP = 100
FALL_FROM = 0.65
# Per pool: answers of RAGTruth, of WiCE, and made ones; about a hundred steps.
POOL = (150, 18, 800)
EVIDENCE = (50, 156)


class Pools:
    """Endless shuffled examples; pool n is the same in every run."""

    def __init__(self, folder: Path) -> None:
        self.ragtruth, _ = split(read_answers(folder / "ragtruth_qa_train.jsonl.gz"), HELD_OUT)
        self.wice, _ = split(read_answers(folder / "wice.jsonl.gz"), WICE_HELD_OUT)
        self.material = gather(self.ragtruth) + gather(self.wice)
        self.maker = ExampleMaker()
        self.words = WordNet(self.maker.pieces.vocabulary())

    def batches(self, number: int) -> list[list[Example]]:
        """Return the batches of one pool, windows of like length together."""
        rng = random.Random(SEED + number)
        writer = AnswerWriter(self.material, rng, self.words)
        answers: list[Answer] = rng.sample(self.ragtruth, POOL[0]) + rng.sample(self.wice, POOL[1])
        answers += [answer for _ in range(POOL[2]) for answer in writer.write()]
        examples = [e for answer in answers for e in self.maker(answer, rng.randint(*EVIDENCE))]
        examples = [e for e in examples if e.at]
        examples.sort(key=lambda e: len(e.ids) + rng.random() * 8)
        batches, batch = [], []
        for example in examples:
            if batch and (len(batch) + 1) * len(example.ids) > BATCH_TOKENS:
                batches.append(batch)
                batch = []
            batch.append(example)
        batches.append(batch)
        rng.shuffle(batches)
        return batches


def rate(step: int, steps: int) -> float:
    """Return the learning rate: up over the warm-up, level, and down to nothing over the last 35 %."""
    fall = min(1.0, (steps - step) / ((1 - FALL_FROM) * steps))
    return PEAK_RATE * min(1.0, (step + 1) / WARM_UP) * max(fall, 0.0)


class Checkpoint:
    """Weights and moments of the optimiser as safetensors, and the step as JSON."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.weights, self.moments = folder / "encoder.safetensors", folder / "moments.safetensors"
        self.progress = folder / "progress.json"

    def load(self, model: TokenJudge, optimiser: torch.optim.Optimizer) -> tuple[int, int]:
        """Return the step and the pool to go on from."""
        if not self.progress.exists():
            return 0, 0
        progress = json.loads(self.progress.read_text())
        model.load_state_dict(load_file(self.weights), strict=False)
        moments = load_file(self.moments)
        for name, value in model.named_parameters():
            if f"{name}.first" in moments:
                optimiser.state[value] = {
                    "step": torch.tensor(float(progress["step"])),
                    "exp_avg": moments[f"{name}.first"],
                    "exp_avg_sq": moments[f"{name}.second"],
                }
        return progress["step"], progress["pool"]

    def save(self, model: TokenJudge, optimiser: torch.optim.Optimizer, step: int, pool: int) -> None:
        """Write everything; the progress last, since it vouches for the rest."""
        moments = {}
        for name, value in model.named_parameters():
            state = optimiser.state.get(value)
            if state:
                moments[f"{name}.first"], moments[f"{name}.second"] = state["exp_avg"], state["exp_avg_sq"]
        for path, tensors in ((self.weights, model.state()), (self.moments, moments)):
            save_file(tensors, path.with_suffix(".part"))
            path.with_suffix(".part").replace(path)
        self.progress.write_text(json.dumps({"step": step, "pool": pool}))


_POOLS: dict[str, Pools] = {}


def _prepare(folder: Path) -> None:
    os.nice(10)
    _POOLS["only"] = Pools(folder)


def _batches(number: int) -> list[list[Example]]:
    return _POOLS["only"].batches(number)


def steps_from(folder: Path, first: int) -> Iterator[tuple[int, Sequence[Example]]]:
    """Yield batches with the number of the pool after theirs; another process makes the next pool meanwhile."""
    with ProcessPoolExecutor(1, get_context("spawn"), _prepare, (folder,)) as maker:
        coming = maker.submit(_batches, first)
        for number in count(first + 1):
            batches = coming.result()
            coming = maker.submit(_batches, number)
            for batch in batches:
                yield number, batch


def train(folder: Path, work: Path, steps: int) -> None:
    """Train to a number of steps, from the last checkpoint if there is one."""
    torch.manual_seed(SEED)
    model = TokenJudge()
    optimiser = torch.optim.AdamW(
        [value for value in model.parameters() if value.requires_grad], lr=PEAK_RATE, weight_decay=0.01, fused=True
    )
    checkpoint = Checkpoint(work)
    step, first = checkpoint.load(model, optimiser)
    started, mean = time.monotonic(), 0.0
    for pool, batch in steps_from(folder, first):
        if step >= steps:
            break
        for group in optimiser.param_groups:
            group["lr"] = rate(step, steps)
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        step += 1
        mean = loss.item() if not mean else 0.98 * mean + 0.02 * loss.item()
        if step % 20 == 0:
            print(f"step {step} pool {pool} loss {mean:.4f} {time.monotonic() - started:.0f} s", flush=True)
        if step % CHECKPOINT_EVERY == 0 or step == steps:
            checkpoint.save(model, optimiser, step, pool)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="folder of the data")
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints")
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train(args.path, args.work, args.steps)


if __name__ == "__main__":
    main()
