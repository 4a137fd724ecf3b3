#!/usr/bin/env python3
"""Runs llama.cpp's own tests of llama-server, unchanged, against `arctic serve`.

    python3 test/clients/peers/llama_cpp.py LLAMA_CPP [--arctic COMMAND] [TEST]...

LLAMA_CPP is a checkout of llama.cpp's source; pytest and what its tools/server/tests/requirements.txt
lists have to be installed. COMMAND starts arctic (default: the launcher of this checkout). TEST is a
file or test below tools/server/tests/unit; by default all files that llama_cpp.json does not leave out.

The tests start a llama-server of their own for each test, from the path in LLAMA_SERVER_BIN_PATH. That
path is this file: called with llama-server's flags it becomes arctic with flags that mean the same.

llama_cpp.json says which tests cannot hold, why, and at which statement each of them stops; and which
hold without saying anything, since any failure of their request will do. Exit 1 where a test fails that
should not, stops elsewhere, or holds although it is listed.
"""

import argparse
import fnmatch
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve()
LAUNCHER = HERE.parents[3] / "arctic"
EXPECTED = json.loads(HERE.with_suffix(".json").read_text())
# How the server, which pytest's process starts, learns what arctic is.
COMMAND = "ARCTIC_UNDER_TEST"


def become_server(arguments: list[str]) -> None:
    """Replaces this process by arctic."""
    # Flags that arctic has nothing for are left out: what needs them fails, and is listed.
    flags = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("--host", "--port", "--api-key", "--alias"):
        flags.add_argument(name)
    given, _ = flags.parse_known_args(arguments)
    command = [*shlex.split(os.environ[COMMAND]), "serve", "--backend=cpu", f"--port={given.port}"]
    command.append(f"--host={given.host}")
    if given.api_key:
        command.append(f"--api-key={given.api_key}")
    name = served_name(os.environ.get("PYTEST_CURRENT_TEST", "")) or given.alias
    if name:
        command.append(f"--served-model-name={name}")
    os.execvp(command[0], command)


def served_name(test: str) -> str | None:
    """The model that a test asks for. llama-server answers under any name, arctic under its own."""
    return next((name for part, name in EXPECTED["models"].items() if part in test), None)


def run_tests(sources: Path, arctic: str, tests: list[str]) -> list[ElementTree.Element]:
    """Every test that ran, as JUnit's XML has it."""
    folder = sources / "tools/server/tests"
    files = tests or [
        f"unit/{file.name}"
        for file in sorted(folder.glob("unit/test_*.py"))
        if file.name not in EXPECTED["left out"]
    ]
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-m", "not slow"]
        command += ["-p", "no:cacheprovider", f"--junitxml={report}", *files]
        environment = os.environ | {
            COMMAND: arctic,
            "LLAMA_SERVER_BIN_PATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "XDG_CACHE_HOME": scratch,
        }
        subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=False)
        return list(ElementTree.parse(report).iter("testcase"))


def stopped_at(test: ElementTree.Element) -> str | None:
    """The statement of the test that did not hold, with what was found; None where all did."""
    for kind in ("failure", "error"):
        if (problem := test.find(kind)) is not None:
            own = re.findall(r"^unit/\S+: in .*\n(?: {4}.*\n)+", problem.text or "", re.MULTILINE)
            statement = own[-1].split("\n", 1)[1] if own else ""
            return " ".join(f"{statement} -> {problem.get('message', '')}".split())
    return None


def listed(name: str) -> tuple[str, str] | None:
    """Why a test is known to fail, and at which statement."""
    for reason, tests in EXPECTED["fail"].items():
        for pattern, statement in tests.items():
            # Brackets are part of names here, not of patterns.
            if fnmatch.fnmatchcase(name, pattern.replace("[", "[[]")):
                return reason, statement
    return None


def judge(tests: list[ElementTree.Element], verbose: bool) -> bool:
    """Prints what came of the tests; whether all of it was expected."""
    counts: Counter[str] = Counter()
    surprises = []
    for test in tests:
        name = f"{test.get('classname', '').removeprefix('unit.')}::{test.get('name')}"
        stop, known = stopped_at(test), listed(name)
        if verbose and stop:
            print(f"{name}\n    {stop[:400]}")
        if test.find("skipped") is not None:
            counts["skipped by llama.cpp"] += 1
        elif stop is None and name in EXPECTED["hollow"]:
            counts["hold only because the route that they ask for is not there"] += 1
        elif stop is None and known is None:
            counts["passed"] += 1
        elif stop is None:
            surprises.append(f"{name} holds, and is listed: {known[0]}")
        elif known is None:
            surprises.append(f"{name} fails: {stop[:400]}")
        elif known[1] not in stop:
            surprises.append(f"{name} fails, but not at {known[1]!r}: {stop[:400]}")
        else:
            counts[known[0]] += 1
    for reason, count in counts.most_common():
        print(f"{count:4}  {reason}")
    for surprise in surprises:
        print(f"NOT EXPECTED  {surprise}")
    print(f"{len(tests)} tests, {len(surprises)} not as expected")
    return len(tests) > 0 and not surprises


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("sources", type=Path, metavar="LLAMA_CPP")
    parser.add_argument("--arctic", default=shlex.quote(str(LAUNCHER)), metavar="COMMAND")
    parser.add_argument("--verbose", action="store_true", help="where each failing test stops")
    parser.add_argument("tests", nargs="*", metavar="TEST")
    options = parser.parse_args()
    tests = run_tests(options.sources.resolve(), options.arctic, options.tests)
    return 0 if judge(tests, options.verbose) else 1


if __name__ == "__main__":
    if COMMAND in os.environ:
        become_server(sys.argv[1:])
    sys.exit(main())
