from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from undertow import model_export
from undertow.embedding import DEFAULT_MODEL, METADATA_FILE, MODEL_FILE, load_embedder
from undertow.errors import ModelMissingError
from undertow.model_export import export_default_model, levelling, quantise_rows


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_default_model(tmp_path_factory.mktemp("models"))


def test_the_export_is_small_and_says_what_it_is(exported: Path):
    record = json.loads((exported / METADATA_FILE).read_text())
    assert exported.name == DEFAULT_MODEL
    assert 20e6 < (exported / MODEL_FILE).stat().st_size < 26e6
    assert record["source_sha256"].startswith("53aa5117")
    assert load_embedder(models_dir=exported.parent).name == record["name"]


def test_a_second_export_changes_nothing(exported: Path):
    before = (exported / MODEL_FILE).stat()
    export_default_model(exported.parent)
    assert (exported / MODEL_FILE).stat() == before


def test_two_exports_write_the_same_bytes(exported: Path, tmp_path: Path):
    again = export_default_model(tmp_path)
    assert (again / MODEL_FILE).read_bytes() == (exported / MODEL_FILE).read_bytes()


def test_exports_at_the_same_time_leave_one_whole_model(tmp_path: Path):
    with ThreadPoolExecutor(3) as pool:
        folders = list(pool.map(export_default_model, [tmp_path] * 3))
    assert len(set(folders)) == 1
    assert [path for path in folders[0].iterdir() if path.name.startswith(".")] == []
    assert load_embedder(models_dir=tmp_path).encode(["x"]).shape == (1, 384)


def test_an_export_of_another_version_is_refused_and_then_replaced(tmp_path: Path):
    folder = export_default_model(tmp_path)
    (folder / METADATA_FILE).write_text('{"name": "all-MiniLM-L6-v2/onnx/int8.0"}')
    with pytest.raises(ModelMissingError, match=r"holds all-MiniLM-L6-v2/onnx/int8\.0.*make model"):
        load_embedder(models_dir=tmp_path)
    export_default_model(tmp_path)
    load_embedder(models_dir=tmp_path)


def test_weights_with_another_digest_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(model_export, "SAFETENSORS_SHA256", "0" * 64)
    with pytest.raises(ModelMissingError, match="53aa5117.*expected 0000"):
        export_default_model(tmp_path)
    assert not (tmp_path / DEFAULT_MODEL / METADATA_FILE).exists()


def test_the_models_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("UNDERTOW_MODELS_DIR", str(tmp_path / "here"))
    assert export_default_model() == tmp_path / "here" / DEFAULT_MODEL


def test_rounding_stays_on_seven_bits_and_within_half_a_step():
    matrix = np.random.default_rng(0).normal(size=(20, 50)).astype(np.float32)
    matrix[3] = 0
    quantised, scale = quantise_rows(matrix)
    assert quantised.dtype == np.int8
    assert np.abs(quantised.astype(int)).max() == 64
    assert np.all(np.abs(quantised * scale[:, None] - matrix) <= scale[:, None] / 2 + 1e-7)


def test_levelling_evens_out_loud_channels_without_changing_the_product():
    rng = np.random.default_rng(0)
    weight, x = rng.normal(size=(8, 30)).astype(np.float32), rng.normal(size=30).astype(np.float32)
    peak = np.where(np.arange(30) == 4, 50, 1).astype(np.float32)
    level = levelling(weight, peak)
    np.testing.assert_allclose((weight * level) @ (x / level), weight @ x, rtol=1e-3, atol=1e-4)
    assert np.ptp(np.log(peak / level)) < np.ptp(np.log(peak))
