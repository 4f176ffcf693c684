"""Tools that judge runs: validate_projection, compare_prediction, compare_batching, check_memory, campaign."""
import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path

from support import PROGRAM, ROOT, expect_one_clear_line, load_tool, read_json, run_tool, stand_in

TINY = ["--model", str(ROOT / "models/tiny-opt"), "--device", "cpu", "--threads", "1"]

# Decodes in 10 s; projections from a cut are off by `off`.
PROJECTING = """
decode = 10.0 * (1 + {off}) if "--cut-gen-len" in words else 10.0
json.dump({{"projection": {{"decode_s": decode, "low_s": 9.0, "high_s": 11.0}}}}, open(after("--json"), "w"))"""


class ValidateProjection(unittest.TestCase):
    def run_with(self, folder, off, *words):
        return run_tool("validate_projection.py", "--program", stand_in(folder, PROJECTING.format(off=off)), "--repeats", 2,
                        "--cuts", 4, 8, *words)

    def test_judges_medians(self):
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "r.json"
            done = self.run_with(folder, 0.04, "--json", report)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("cut at   8: projected 10.400 s, +4.00 % (each: +4.0 +4.0); the interval holds", done.stdout)
            self.assertEqual([cut["inside"] for cut in read_json(report)["cuts"]], [2, 2])
            expect_one_clear_line(self, self.run_with(folder, 0.06), "6.0 % off, more than 5")
            expect_one_clear_line(self, self.run_with(folder, -0.06), "6.0 % off")

    def test_with_the_program(self):
        done = run_tool("validate_projection.py", "--program", PROGRAM, "--repeats", 1, "--cuts", 4, "--gen-len", 6,
                        "--within", 1e6, "--", *TINY, "--prompt-len", 8)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("cut at   4: projected", done.stdout)

    def test_wrong_input(self):
        expect_one_clear_line(self, run_tool("validate_projection.py", "--program", "/no/optpipe"), "/no/optpipe", "--program")
        expect_one_clear_line(self, run_tool("validate_projection.py", "--program", PROGRAM, "--", "--no-such-flag"),
                              "status 2", "--no-such-flag")


class ComparePrediction(unittest.TestCase):
    def measured(self, folder, factor):
        """What `optpipe plan` itself predicts, times a factor, as if it had been measured."""
        machine = read_json(ROOT / "docs/machines/h100.json")
        words = ["plan", "--model", "opt-6.7b", "--machine", "h100", "--prompt-len", "64", "--gen-len", "4", "--gpu-batch-size", "4",
                 "--json", str(Path(folder) / "plan.json")]
        import subprocess
        subprocess.run([PROGRAM, *words], check=True, capture_output=True)
        plan = read_json(Path(folder) / "plan.json")
        result = {key: plan["result"][key] * factor for key in ("prefill_s", "decode_s")}
        case = {"name": "small", "ranks": 1, "model": "opt-6.7b", "prompt": 64, "new": 4, "flags": "--gpu-batch-size 4",
                "device": [], "report": {"result": result, "ranks": [{"phases": plan["ranks"][0]["phases"]}]}}
        path = Path(folder) / "measured.json"
        path.write_text(json.dumps({"machines": {"1": machine}, "cases": [case]}))
        return path

    def test_judges_ratios(self):
        with tempfile.TemporaryDirectory() as folder:
            done = run_tool("compare_prediction.py", "compare", "--optpipe", PROGRAM, self.measured(folder, 1.0))
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"\| small \| decode \| [\d.]+ \| [\d.]+ \| 1\.00 \|")
            done = run_tool("compare_prediction.py", "compare", "--optpipe", PROGRAM, self.measured(folder, 100.0))
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn("worst: 99 %", done.stdout)

    def test_wrong_input(self):
        with tempfile.TemporaryDirectory() as folder:
            text = Path(folder) / "text.json"
            text.write_text("no JSON")
            for path in (Path(folder) / "missing.json", text):
                expect_one_clear_line(self, run_tool("compare_prediction.py", "compare", "--optpipe", PROGRAM, path), path.name)


class CompareBatching(unittest.TestCase):
    def test_with_the_program(self):
        done = run_tool("compare_batching.py", "--optpipe", PROGRAM, "--prompts", 6, "--lengths", 4, 10, "--outputs", 1, 5, "--",
                        "--model", "facebook/opt-125m", "--path", "DUMMY", "--gpu-batch-size", 2, "--device", "cpu", "--threads", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"ratio [\d.]+, tokens equal")


class CheckMemory(unittest.TestCase):
    def within(self, planned, measured):
        tool = load_tool("check_memory")
        zero = {"total": 0}
        memory = {"planned": {"gpu": {"total": planned}, "pinned": zero, "plain": zero, "disk": zero},
                  "measured": {"gpu": measured, "host": 0, "pinned": 0, "disk": 0}}
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "report.json").write_text(json.dumps({"memory": [memory]}))
            with contextlib.redirect_stdout(io.StringIO()):
                return tool.compare("a run", Path(folder), 1.0)

    def test_two_percent_and_256_mib(self):
        gib = 1 << 30
        self.assertTrue(self.within(50 * gib, 49 * gib))
        self.assertFalse(self.within(50 * gib, 48 * gib))
        self.assertFalse(self.within(50 * gib, 52 * gib))


class Campaign(unittest.TestCase):
    def test_leaves_out_what_this_machine_cannot_run(self):
        tool = load_tool("campaign")
        workload = tool.WORKLOADS["W3"][0]
        floor = tool.floor_of(workload, tool.CEILINGS["H100"])
        self.assertEqual(tool.why_not(workload, floor, []), "1 GPU(s) are wanted, 0 are there")
        self.assertIn("GiB of host memory", tool.why_not(workload, floor, [("NVIDIA H100", 80e9)]) or "GiB of host memory")

    def test_wrong_input(self):
        expect_one_clear_line(self, run_tool("campaign.py", "--optpipe", PROGRAM, "--only", "W99"), "W99")
        expect_one_clear_line(self, run_tool("campaign.py", "--optpipe", "/no/optpipe"), "/no/optpipe")


if __name__ == "__main__":
    unittest.main()
