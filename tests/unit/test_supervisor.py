import io
import socket
import threading
import time
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest

from undertow import supervisor
from undertow.supervisor import Child, Supervisor, answers, http_url


@pytest.fixture
def fake_verbs(monkeypatch: pytest.MonkeyPatch, tmp_path):
    """Children run a small script in place of `undertow`, with the verb as its argument."""
    package = tmp_path / "undertow"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "import sys, time, pathlib\n"
        "from http.server import HTTPServer, SimpleHTTPRequestHandler\n"
        "verb, folder, *port = sys.argv[3:]  # after --parent-pid and its value\n"
        "runs = pathlib.Path(folder) / verb\n"
        "runs.write_text(runs.read_text() + 'x' if runs.exists() else 'x')\n"
        "print(f'{verb} speaks')\n"
        "sys.exit(7) if verb == 'crash' and len(runs.read_text()) == 1 else None\n"
        "sys.exit(5) if verb == 'broken' else None\n"
        "if verb == 'serve' and len(runs.read_text()) == 1:\n"
        "    HTTPServer(('127.0.0.1', int(port[0])), SimpleHTTPRequestHandler).serve_forever()\n"
        "sys.exit(2) if verb == 'usage' else time.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(supervisor, "_FIRST_DELAY_S", 0.1)
    monkeypatch.setattr(supervisor.signal, "signal", lambda *_: None)
    return tmp_path


@pytest.fixture
def other_app() -> Iterator[str]:
    """The address of somebody else's HTTP server."""
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield http_url("127.0.0.1", server.server_port, "/")
        server.shutdown()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_until(watch: Supervisor, condition, out: io.StringIO, timeout_s: float = 180.0) -> int:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(watch.run()))
    thread.start()
    end = time.monotonic() + timeout_s
    while time.monotonic() < end and thread.is_alive() and not condition(out.getvalue()):
        time.sleep(0.05)
    watch._stop.set()
    thread.join(180)
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


def test_a_child_that_fails_before_it_was_ready_ends_everything_with_its_code_and_message(fake_verbs) -> None:
    out = io.StringIO()
    url = http_url("127.0.0.1", free_port(), "/")
    children = [
        Child("steady", ["steady", str(fake_verbs)]),
        Child("broken", ["broken", str(fake_verbs)], ready_url=url, after="steady"),
    ]
    assert run_until(Supervisor(children, out=out), lambda _: False, out) == 5
    said = [line for line in out.getvalue().splitlines() if line.startswith("broken")]
    assert said[0] == "broken | broken speaks"
    assert said[1].startswith("broken | ended with code 5")


def test_the_answer_of_another_process_at_its_address_does_not_make_a_child_ready(fake_verbs, other_app: str) -> None:
    out = io.StringIO()
    watch = Supervisor([Child("broken", ["broken", str(fake_verbs)], ready_url=other_app)], out=out)
    assert run_until(watch, lambda _: False, out) == 5
    assert "| ready" not in out.getvalue()


def test_a_child_without_an_address_that_only_ever_fails_ends_everything(fake_verbs) -> None:
    out = io.StringIO()
    assert run_until(Supervisor([Child("broken", ["broken", str(fake_verbs)])], out=out), lambda _: False, out) == 5
    assert out.getvalue().count("broken speaks") == 3


def test_a_child_that_is_not_ready_in_time_at_its_first_start_ends_everything(fake_verbs, monkeypatch) -> None:
    monkeypatch.setattr(supervisor, "_READY_S", 0.5)
    out = io.StringIO()
    child = Child("steady", ["steady", str(fake_verbs)], ready_url=http_url("127.0.0.1", free_port(), "/"))
    assert run_until(Supervisor([child], out=out), lambda _: False, out) == 1
    assert "not ready after" in out.getvalue()


def test_a_child_that_was_ready_once_may_take_its_time_to_become_ready_again(fake_verbs, monkeypatch) -> None:
    out = io.StringIO()
    port = free_port()
    child = Child("serve", ["serve", str(fake_verbs), str(port)], ready_url=http_url("127.0.0.1", port, "/"))
    watch = Supervisor([child], out=out)

    crashes: list[int] = []

    def crash_when_ready(text: str) -> bool:
        process = watch._running["serve"].process
        if "| ready" in text and process and not crashes:
            crashes.append(process.pid)
            monkeypatch.setattr(supervisor, "_READY_S", 0.5)
            process.kill()
        return text.count("still waiting") == 2

    assert run_until(watch, crash_when_ready, out) == 0
    assert "ended unexpectedly with code -9" in out.getvalue()
    assert out.getvalue().count("still waiting") >= 2


def test_a_proxy_of_the_environment_is_not_asked_about_a_child(other_app: str, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", http_url("127.0.0.1", free_port(), ""))
    monkeypatch.delenv("no_proxy", raising=False)
    assert answers(other_app)


def test_an_address_of_ipv6_is_bracketed() -> None:
    assert http_url("::1", 8501, "/x") == "http://[::1]:8501/x"
