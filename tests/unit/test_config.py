from pathlib import Path

import duckdb
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
        ({"UNDERTOW_COLLECTOR__HOST": "0.0.0.0"}, "reachable from other machines: set auth.tokens .*tls.certificate"),
        ({"UNDERTOW_COLLECTOR__HOST": "::", "UNDERTOW_TLS__TERMINATED_BY_PROXY": "1"}, "set auth.tokens .* first"),
        (
            {"UNDERTOW_COLLECTOR__HOST": "10.0.0.9", "UNDERTOW_AUTH__TOKENS": '{"s3cr3t": ["ingest"]}'},
            "set tls.certificate and tls.key .*or tls.terminated_by_proxy = true",
        ),
        ({"UNDERTOW_TLS__CERTIFICATE": "/c.pem"}, "tls.certificate and tls.key belong together"),
        ({"UNDERTOW_COLLECTOR__TRACE_SELF": "here"}, "'here' is no address"),
        ({"UNDERTOW_STORE__MEMORY_LIMIT": "banana"}, "store.memory_limit .*'banana' is not a size"),
        ({"UNDERTOW_STORE__MEMORY_LIMIT": "0GB"}, "'0GB' is not a size"),
        ({"UNDERTOW_ANALYSIS__REFERENCE": "a month"}, "analysis.reference .*'a month' is not a duration"),
        ({"UNDERTOW_ANALYSIS__INTERVAL": "60"}, "analysis.interval .*'60' is not a duration"),
        ({"UNDERTOW_COST__PRICES": '{"m": {"inptu": 1}}'}, "cost.prices .*unknown rate 'inptu'; the rates are input,"),
        ({"UNDERTOW_COST__PRICES": '{"m": {"input": -1}}'}, "input = -1.0 is not a price"),
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


def test_tables_of_the_file_reach_mappings_whatever_their_keys_look_like(tmp_path: Path) -> None:
    (tmp_path / "undertow.toml").write_text(
        "[redaction.patterns]\nbadge = 'EMP-[0-9]+'\n"
        "[cost.prices.house]\ninput = 1\n[cost.prices.'gpt-4.1']\noutput = 8\nreasoning = 9\n"
        "[auth.tokens]\n'a.b.c' = ['read']\n"
    )
    loaded = load_settings(env={}, folder=tmp_path)
    assert loaded.settings.redaction.patterns == {"badge": "EMP-[0-9]+"}
    assert loaded.settings.cost.prices == {"house": {"input": 1.0}, "gpt-4.1": {"output": 8.0, "reasoning": 9.0}}
    assert loaded.settings.auth.tokens == {"a.b.c": ["read"]}
    assert origins(loaded)["cost.prices"][1] == "undertow.toml"


def test_a_mapping_of_the_environment_takes_the_place_of_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "undertow.toml").write_text("[cost.prices.'gpt-4.1']\ninput = 1\n")
    env = {"UNDERTOW_COST__PRICES": '{"gpt-5.1": {"input": 2}}'}
    assert load_settings(env=env, folder=tmp_path).settings.cost.prices == {"gpt-5.1": {"input": 2.0}}


def test_a_part_of_a_mapping_in_the_environment_is_refused_without_repeating_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give it in UNDERTOW_AUTH__TOKENS, as JSON") as refused:
        load_settings(env={"UNDERTOW_AUTH__TOKENS__MyTok": '["read"]'}, folder=tmp_path)
    assert "mytok" not in str(refused.value).lower()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('{"s3cr3t": "read"}', r"auth.tokens.\*+ \(from UNDERTOW_AUTH__TOKENS\): Input should be a valid list"),
        ('{"s3cr3t": [1]}', r"auth.tokens.\*+ \(from"),
        ('{"s3cr3t": ["reed"]}', "a scope is unknown; .* the scopes are ingest, read, write"),
        ('{"read": ["s3cr3t"]}', "a scope is unknown"),
        ('{"s3cr3t": [read]}', "auth.tokens .*give a JSON object"),
    ],
)
def test_a_malformed_token_is_refused_without_being_shown(value: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        load_settings(env={"UNDERTOW_AUTH__TOKENS": value}, folder=tmp_path)
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ('["service=a"]', "bound to a service or environment, but has no scope"),
        ('["write", "environment=prod"]', "cannot have the scope write"),
        ('["ingest", "service="]', "a scope is unknown"),
        ('["ingest", "team=a"]', "a scope is unknown"),
    ],
)
def test_a_token_is_bound_only_where_that_can_be_kept(entries: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(env={"UNDERTOW_AUTH__TOKENS": f'{{"s3cr3t": {entries}}}'}, folder=tmp_path)


@pytest.mark.parametrize(
    "guard",
    [
        {"UNDERTOW_TLS__CERTIFICATE": "/etc/c.pem", "UNDERTOW_TLS__KEY": "/etc/k.pem"},
        {"UNDERTOW_TLS__TERMINATED_BY_PROXY": "true"},
    ],
)
def test_an_address_off_loopback_is_taken_with_a_token_and_tls(guard: dict[str, str], tmp_path: Path) -> None:
    env = {"UNDERTOW_COLLECTOR__HOST": "0.0.0.0", "UNDERTOW_AUTH__TOKENS": '{"s3cr3t": ["ingest"]}', **guard}
    assert load_settings(env=env, folder=tmp_path).settings.collector.host == "0.0.0.0"


def test_a_token_under_a_mistyped_section_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "undertow.toml").write_text("[auth.token]\ns3cr3t = ['read']\n")
    with pytest.raises(ConfigError, match="did you mean 'auth.tokens'") as refused:
        load_settings(env={}, folder=tmp_path)
    assert "s3cr3t" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "undertow.toml").mkdir()
    with pytest.raises(ConfigError, match="undertow.toml cannot be read"):
        load_settings(env={}, folder=tmp_path)


@given(st.integers(1, 999), st.sampled_from(["s", "m", "h", "d", "w"]))
def test_a_duration_means_what_its_unit_says(number: int, unit: str) -> None:
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[unit]
    assert parse_duration(f"{number}{unit}").total_seconds() == number * seconds


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 minutes", "0s", "1x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("size", ["2GB", "512 MiB", "1.5gb"])
def test_a_size_is_one_that_duckdb_understands(size: str, tmp_path: Path) -> None:
    limit = load_settings(env={"UNDERTOW_STORE__MEMORY_LIMIT": size}, folder=tmp_path).settings.store.memory_limit
    with duckdb.connect(config={"memory_limit": limit}) as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_an_empty_token_opens_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a token is empty"):
        load_settings(env={"UNDERTOW_AUTH__TOKENS": '{"": ["ingest"]}'}, folder=tmp_path)


@pytest.mark.parametrize("name", ["UNDERTOW_STORE_PORT", "UNDERTOW_COLECTOR__HTTP_PORT", "UNDERTOW_DATADIR"])
def test_a_misspelt_variable_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        load_settings(env={name: "1"}, folder=tmp_path)


def test_a_variable_of_somebody_else_is_ignored_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_settings(env={"UNDERTOW_RUNNER_LABEL": "x"}, folder=tmp_path)
    assert "UNDERTOW_RUNNER_LABEL is no setting" in caplog.text
