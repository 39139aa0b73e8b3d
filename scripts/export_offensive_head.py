"""Make `analysis/safety/weights/offensive.npz` of the wheel of alt-profanity-check (MIT).

    pip download alt-profanity-check==1.9.1 --no-deps
    python scripts/export_offensive_head.py alt_profanity_check-1.9.1-py3-none-any.whl

Its vectoriser and its five calibrated support vector machines become one linear head over hashed words. Names of
groups of people lose their weight. Its licence travels in the file.

The wheel holds pickles, so run this on a file whose SHA-256 you have compared.
"""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import joblib
import numpy as np

from analysis.safety.hashed import hash_word
from analysis.safety.identity import TERMS

WHEEL = "alt_profanity_check-1.9.1-py3-none-any.whl"
TARGET = Path(__file__).parents[1] / "analysis" / "safety" / "weights" / "offensive.npz"
THRESHOLD = 0.8
NEUTRAL = ("homosexual", "homosexuals", "queers", "gays", "lesbians", "jews", "muslims", "blacks", "whites", "trans")


def main(wheel: Path) -> None:
    """Read the wheel, write the head."""
    with zipfile.ZipFile(wheel) as archive:
        vectoriser = joblib.load(io.BytesIO(archive.read("profanity_check/data/vectorizer.joblib")))
        model = joblib.load(io.BytesIO(archive.read("profanity_check/data/model.joblib")))
        licence = next(name for name in archive.namelist() if name.endswith("/LICENSE"))
        notice = archive.read(licence).decode()
    folds = model.calibrated_classifiers_
    weights = np.mean([fold.estimator.coef_[0] for fold in folds], axis=0)
    names = {word for group in TERMS.values() for term in group for word in term.split()} | set(NEUTRAL)
    words = vectoriser.get_feature_names_out()
    weights[[row for row, word in enumerate(words) if word in names]] = 0.0
    hashes = np.array([hash_word(word) for word in words], np.uint32)
    order = np.argsort(hashes)
    body = {
        "hashes": hashes[order],
        "idf": vectoriser.idf_[order].astype(np.float16),
        "weights": weights[order].astype(np.float16),
        "intercept": np.mean([fold.estimator.intercept_[0] for fold in folds]),
        "slope": -np.mean([fold.calibrators[0].a_ for fold in folds]),
        "shift": -np.mean([fold.calibrators[0].b_ for fold in folds]),
        "threshold": THRESHOLD,
    }
    digest = hashlib.sha256(b"".join(np.asarray(value).tobytes() for value in body.values())).hexdigest()[:8]
    np.savez_compressed(TARGET, **body, digest=digest, licence=notice)
    sys.stdout.write(f"{TARGET.name}: {len(words):,} words, {TARGET.stat().st_size:,} bytes, {digest}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else WHEEL))
