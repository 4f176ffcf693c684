"""What the tests of tools/ share: running a tool, and programs that stand in for optpipe."""
import importlib.util
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = ROOT / "tools"
DATA = Path(__file__).resolve().parent / "data"
PROGRAM = os.environ.get("OPTPIPE", str(ROOT / "build/default/bin/optpipe"))
HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None
NO_MATPLOTLIB = "python3-matplotlib is not installed"


def run_tool(name, *words, cwd=None):
    return subprocess.run([sys.executable, str(TOOLS / name), *map(str, words)], capture_output=True, text=True, cwd=cwd,
                          timeout=60)


def load_tool(name):
    """The tool as a module, for its functions."""
    sys.path.insert(0, str(TOOLS))
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stand_in(folder, body):
    """A program that behaves as the Python statements of `body` say; `words` are its arguments."""
    path = Path(folder) / "optpipe"
    path.write_text(f"#!{sys.executable}\nimport json, sys\nwords = sys.argv[1:]\n"
                    f"after = lambda flag: words[words.index(flag) + 1]\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def expect_one_clear_line(test, done, *parts):
    """The tool failed, and said so in a line that holds `parts`, without a trace of Python."""
    test.assertNotEqual(done.returncode, 0, done.stdout)
    test.assertNotIn("Traceback", done.stderr)
    lines = [line for line in done.stderr.splitlines() if line and not line.startswith(("usage:", " "))]
    test.assertEqual(len(lines), 1, done.stderr)
    for part in parts:
        test.assertIn(part, lines[0])


def read_json(path):
    return json.loads(Path(path).read_text())
