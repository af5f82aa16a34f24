"""`make audit`: what it looks up, and how it ends when a service on this machine answers what the test says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from requirements.audit import HERE, LOCKS, explained, unconditional
from tests.imports import ROOT

FINDING = {
    "id": "GHSA-made-upid-0001",
    "aliases": ["PYSEC-2099-1"],
    "summary": "made up",
    "affected": [{"package": {"name": "two", "ecosystem": "PyPI"}, "ranges": []}],
}
LOCK = "".join(f"{entry} \\\n    --hash=sha256:{'0' * 64}\n" for entry in ("one==1.0", "two==2.0"))


class _Service(ThreadingHTTPServer):
    """An OSV service: `findings` by package, every other package without any; or nothing but errors, with `fails`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.findings: dict[str, list[dict[str, object]]] = {}
        self.fails = False
        self.asked: list[tuple[str, str]] = []


class _Answer(BaseHTTPRequestHandler):
    server: _Service

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = asked["package"]["name"]
        self.server.asked.append((name, asked["version"]))
        found = self.server.findings.get(name)
        body = json.dumps({"vulns": found} if found else {}).encode()
        self.send_response(503 if self.server.fails else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[_Service]:
    running = _Service()
    thread = Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of requirements with locks of two packages and nothing explained."""
    shutil.copy(HERE / "audit.py", tmp_path)
    for name, text in {"lock.txt": LOCK, "cuda.txt": "# nothing\n", "audit-ignore.txt": "# nothing\n"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def audit(folder: Path, **environment: str) -> tuple[int, str]:
    """The exit code and the output of the audit of that folder's locks."""
    python = ROOT / ".venv-audit/bin/python"
    if not python.exists():
        if os.environ.get("REQUIRE_AUDIT") == "1":
            pytest.fail("REQUIRE_AUDIT=1, but pip-audit is not installed; run `make audit-env`")
        pytest.skip("pip-audit is not installed; run `make audit-env`")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    home = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "NO_PROXY": "127.0.0.1"}
    command = [str(python), str(folder / "audit.py")]
    done = subprocess.run(command, env=inherited | home | environment, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def asking(service: _Service) -> dict[str, str]:
    """The variables that make pip-audit ask that service."""
    url = f"http://127.0.0.1:{service.server_port}/v1/query"
    return {"PIP_AUDIT_VULNERABILITY_SERVICE": "osv", "PIP_AUDIT_OSV_URL": url}


@pytest.mark.audit
def test_without_findings_it_passes(project: Path, service: _Service) -> None:
    code, said = audit(project, **asking(service))
    assert code == 0, said
    assert "No known vulnerabilities found" in said
    assert sorted(service.asked) == [("one", "1.0"), ("two", "2.0")]


@pytest.mark.audit
def test_a_finding_ends_it_with_an_error(project: Path, service: _Service) -> None:
    service.findings["two"] = [FINDING]
    code, said = audit(project, **asking(service))
    assert code == 1
    assert re.search(r"(?m)^two +2\.0 +PYSEC-2099-1", said), said


@pytest.mark.audit
@pytest.mark.parametrize("key", ["PYSEC-2099-1", "GHSA-made-upid-0001", "CVE-2099-1,GHSA-made-upid-0001"])
def test_an_explained_finding_does_not(project: Path, service: _Service, key: str) -> None:
    service.findings["two"] = [FINDING]
    (project / "audit-ignore.txt").write_text(f"{key} nobody calls it. 2026-11-25\n")
    code, said = audit(project, **asking(service))
    assert code == 0, said
    assert "1 ignored" in said
    assert f"explained: {', '.join(key.split(','))}: nobody calls it. 2026-11-25" in said


@pytest.mark.audit
def test_a_finding_in_the_second_version_counts(project: Path, service: _Service) -> None:
    conditions = LOCK.replace("==2.0", "==2.0 ; python_full_version < '3.0'")
    (project / "lock.txt").write_text(conditions + LOCK.replace("==2.0", "==2.1 ; python_full_version >= '3.0'"))
    service.findings["two"] = [FINDING]
    code, said = audit(project, **asking(service))
    assert code == 1
    assert "2.0 " in said, said
    assert "2.1 " in said, said
    assert sorted(service.asked) == [("one", "1.0"), ("two", "2.0"), ("two", "2.1")]


@pytest.mark.audit
def test_a_service_that_fails_is_no_pass(project: Path, service: _Service) -> None:
    service.fails = True
    code, said = audit(project, **asking(service))
    assert code == 1, said


@pytest.mark.audit
def test_an_unknown_package_is_no_pass(project: Path) -> None:
    """The registry's own service, which the audit asks by default, answers "not found"; the network is replaced."""
    (project / "sitecustomize.py").write_text(
        "import requests\n"
        "def get(self, url, **options):\n"
        "    answer = requests.Response()\n"
        "    answer.status_code = 404\n"
        "    return answer\n"
        "requests.Session.get = get\n"
    )
    code, said = audit(project, PYTHONPATH=str(project))
    assert code == 1
    assert "one" in said, said
    assert "could not be audited" in said, said


@pytest.mark.audit
def test_the_locks_are_requested_in_full(project: Path, service: _Service) -> None:
    for name in (*LOCKS, "audit-ignore.txt"):
        shutil.copy(HERE / name, project)
    code, said = audit(project, **asking(service))
    assert code == 0, said
    assert len(service.asked) == len(set(service.asked)) == sum(map(len, unconditional(_locks())))


def _locks() -> str:
    return "".join((HERE / name).read_text(encoding="utf-8") for name in LOCKS)


def test_every_entry_is_looked_up_whatever_it_is_for() -> None:
    entries = re.findall(r"(?m)^[A-Za-z0-9][^ ]*==[^ ]+", _locks())
    listed = [line.split()[0] for packages in unconditional(_locks()) for line in packages.values()]
    assert sorted(listed) == sorted(entries)
    assert any(line.startswith("pywin32==") for line in listed)  # for Windows
    assert all(";" not in line for packages in unconditional(_locks()) for line in packages.values())


def test_an_entry_without_hashes_is_refused() -> None:
    with pytest.raises(SystemExit, match="one==1"):
        unconditional("one==1\n")


def test_every_explanation_has_a_date_and_a_package_of_the_locks() -> None:
    for reason in explained((HERE / "audit-ignore.txt").read_text(encoding="utf-8")).values():
        assert re.search(r"\b20\d\d-\d\d-\d\d$", reason)
        name, version = reason.split(",")[0].split()
        assert f"\n{name}=={version} " in _locks(), f"{name} {version} is no longer locked: is the finding still one?"
