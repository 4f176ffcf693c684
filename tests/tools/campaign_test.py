"""The campaign of reference workloads: its plan, its small run on CPU cores, its budget."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = os.environ.get("OPTPIPE", str(ROOT / "build/default/bin/optpipe"))


def run(*words, path=None):
    environment = {**os.environ, "PATH": path} if path else None
    return subprocess.run([sys.executable, str(ROOT / "tools/campaign.py"), *map(str, words)], capture_output=True, text=True,
                          timeout=100, env=environment)


def card(folder, name="NVIDIA H200", mib=143771):
    """A PATH on which nvidia-smi reports one GPU."""
    tool = Path(folder) / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\necho '{name}, {mib}'\n")
    tool.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


class Campaign(unittest.TestCase):
    def test_dry_run_prints_every_command_with_its_floor(self):
        done = run("--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)
        for name in ("W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8", "30B"):
            self.assertRegex(done.stdout, rf"(?m)^{name}: floor [\d.]+ token/s on \d x \w+ \(prefill: .*\)\n  .*optpipe bench ")
        self.assertIn("--cut-gen-len 6", done.stdout)

    def test_what_fits_on_one_gpu_is_not_left_out(self):
        with tempfile.TemporaryDirectory() as folder:
            done = run("--dry-run", "--only", "W1,W2", path=card(folder))
        of_w1, of_w2 = done.stdout.split("W2: ")
        self.assertNotIn("not here", of_w1)
        self.assertIn("not here: 4 GPU(s) are wanted, 1 are there", of_w2)

    def test_small_run_on_cores(self):
        with tempfile.TemporaryDirectory() as folder:
            rows = Path(folder) / "rows.json"
            done = run("--optpipe", PROGRAM, "--only", "small", "--json", rows)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            (row,) = json.loads(rows.read_text())
        self.assertGreater(row["token_s"], 0)
        self.assertEqual(len(row["binds"]["decode"]), 1)
        self.assertRegex(done.stdout, r"small +opt-125m +2x1 +cores .* prefill: \w+")

    def test_budget_leaves_out_what_there_is_no_time_for(self):
        with tempfile.TemporaryDirectory() as folder:
            done = run("--optpipe", PROGRAM, "--only", "W1", "--budget", 5, path=card(folder))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("left out: 60 s are wanted at least, 5 s of the budget are left", done.stdout)

    def test_a_run_that_fails_is_told(self):
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "optpipe"
            program.write_text("#!/bin/sh\necho 'optpipe: it does not fit: use less' >&2\nexit 3\n")
            program.chmod(0o755)
            done = run("--optpipe", program, "--only", "small")
        self.assertEqual(done.returncode, 1)
        self.assertIn("failed: optpipe: it does not fit: use less", done.stdout)


if __name__ == "__main__":
    unittest.main()
