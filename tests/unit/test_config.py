from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.clock import parse_duration
from undertow.config import MASK, load_settings
from undertow.errors import ConfigError


def origins(loaded) -> dict[str, tuple[str, str]]:
    return {name: (value, origin) for name, value, origin, _ in loaded.rows()}


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(tmp_path: Path) -> None:
    (tmp_path / "undertow.toml").write_text("timezone = 'Europe/Berlin'\n[store]\nport = 1\nthreads = 1\n")
    loaded = load_settings(
        {"store.threads": 3}, env={"UNDERTOW_STORE__PORT": "2", "UNDERTOW_STORE__THREADS": "2"}, folder=tmp_path
    )
    shown = origins(loaded)
    assert shown["timezone"] == ("Europe/Berlin", "undertow.toml")
    assert shown["store.port"] == ("2", "UNDERTOW_STORE__PORT")
    assert shown["store.threads"] == ("3", "command line")
    assert shown["dashboard.port"] == ("8501", "default")


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"UNDERTOW_STORE_PORT": "1"}, "did you mean 'store.port'"),
        ({"UNDERTOW_STORE__PORT": "many"}, "store.port .from UNDERTOW_STORE__PORT."),
        ({"UNDERTOW_STORE__PORT": "70000"}, "store.port"),
        ({"UNDERTOW_TIMEZONE": "Mars/Olympus"}, "unknown time zone"),
        ({"UNDERTOW_COLLECTOR__HOST": "0.0.0.0"}, "reachable from other machines"),
    ],
)
def test_a_bad_setting_is_refused_with_its_name_and_origin(env: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(env=env, folder=tmp_path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "undertow.toml").write_text("[store\n")
    with pytest.raises(ConfigError, match="undertow.toml is not valid TOML"):
        load_settings(env={}, folder=tmp_path)


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    env = {"UNDERTOW_AUTH__TOKENS": '{"tok-very-secret": ["ingest"]}', "UNDERTOW_REDACTION__KEY": "hush-hush"}
    shown = origins(load_settings(env=env, folder=tmp_path))
    assert shown["auth.tokens"] == (MASK, "UNDERTOW_AUTH__TOKENS")
    assert shown["redaction.key"] == (MASK, "UNDERTOW_REDACTION__KEY")
    assert "secret" not in str(shown)


def test_nested_tables_of_the_file_and_of_the_environment_reach_mappings(tmp_path: Path) -> None:
    (tmp_path / "undertow.toml").write_text(
        "[redaction.patterns]\nbadge = 'EMP-[0-9]+'\n[cost.prices.house]\ninput = 1\n"
    )
    settings = load_settings(env={}, folder=tmp_path).settings
    assert settings.redaction.patterns == {"badge": "EMP-[0-9]+"}
    assert settings.cost.prices == {"house": {"input": 1.0}}


@given(st.integers(1, 999), st.sampled_from(["s", "m", "h", "d", "w"]))
def test_a_duration_means_what_its_unit_says(number: int, unit: str) -> None:
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[unit]
    assert parse_duration(f"{number}{unit}").total_seconds() == number * seconds


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 minutes", "0s", "1x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a duration"):
        parse_duration(text)
