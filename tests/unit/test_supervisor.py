import io
import threading
import time

import pytest

from undertow import supervisor
from undertow.supervisor import Child, Supervisor


@pytest.fixture
def fake_verbs(monkeypatch: pytest.MonkeyPatch, tmp_path):
    """Children run a small script in place of `undertow`, with the verb as its argument."""
    package = tmp_path / "undertow"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "import sys, time, pathlib\n"
        "verb, folder = sys.argv[1:3]\n"
        "runs = pathlib.Path(folder) / verb\n"
        "runs.write_text(runs.read_text() + 'x' if runs.exists() else 'x')\n"
        "print(f'{verb} speaks')\n"
        "sys.exit(7) if verb == 'crash' and len(runs.read_text()) == 1 else None\n"
        "sys.exit(2) if verb == 'usage' else time.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(supervisor, "_FIRST_DELAY_S", 0.1)
    monkeypatch.setattr(supervisor.signal, "signal", lambda *_: None)
    return tmp_path


def run_until(watch: Supervisor, condition, out: io.StringIO, timeout_s: float = 15.0) -> int:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(watch.run()))
    thread.start()
    end = time.monotonic() + timeout_s
    while time.monotonic() < end and thread.is_alive() and not condition(out.getvalue()):
        time.sleep(0.05)
    watch._stop.set()
    thread.join(20)
    assert codes, "the supervisor did not stop"
    return codes[0]


def test_a_crashed_child_is_reported_and_started_again(fake_verbs) -> None:
    out = io.StringIO()
    watch = Supervisor([Child("crash", ["crash", str(fake_verbs)])], out=out)
    code = run_until(watch, lambda text: text.count("crash speaks") == 2, out)
    assert code == 0
    assert "ended unexpectedly with code 7; starting again in 0.1 s" in out.getvalue()
    assert out.getvalue().count("crash speaks") == 2


def test_a_usage_error_of_a_child_ends_everything_with_its_code(fake_verbs) -> None:
    out = io.StringIO()
    children = [Child("steady", ["steady", str(fake_verbs)]), Child("usage", ["usage", str(fake_verbs)])]
    assert run_until(Supervisor(children, out=out), lambda _: False, out) == 2


def test_all_children_are_gone_after_a_stop(fake_verbs) -> None:
    out = io.StringIO()
    watch = Supervisor([Child("a", ["a", str(fake_verbs)]), Child("b", ["b", str(fake_verbs)], after="a")], out=out)
    run_until(watch, lambda text: "a | a speaks" in text and "b | b speaks" in text, out)
    processes = [entry.process for entry in watch._running.values()]
    assert all(process is not None and process.poll() is not None for process in processes)
