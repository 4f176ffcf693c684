"""tools/plot_trace.py and tools/scaling.py: pictures, tables and JSON from recorded results, and from runs."""
import tempfile
import unittest
from pathlib import Path

from support import DATA, HAS_MATPLOTLIB, NO_MATPLOTLIB, PROGRAM, ROOT, expect_one_clear_line, read_json, run_tool, stand_in

PNG, SVG = b"\x89PNG\r\n\x1a\n", b"<?xml"


def expect_picture(test, path, begin):
    data = Path(path).read_bytes()
    test.assertTrue(data.startswith(begin), path)
    test.assertGreater(len(data), 5000, path)


@unittest.skipUnless(HAS_MATPLOTLIB, NO_MATPLOTLIB)
class TraceTest(unittest.TestCase):
    def test_draws_png_and_svg(self):
        with tempfile.TemporaryDirectory() as folder:
            for ending, begin in (("png", PNG), ("svg", SVG)):
                picture = Path(folder) / f"timeline.{ending}"
                done = run_tool("plot_trace.py", DATA / "trace.json", picture, "--title", "two ranks")
                self.assertEqual(done.returncode, 0, done.stderr)
                expect_picture(self, picture, begin)

    def test_a_part_of_it(self):
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "part.png"
            done = run_tool("plot_trace.py", DATA / "trace.json", picture, "--from", 0, "--to", 0.002, "--ranks", 1)
            self.assertEqual(done.returncode, 0, done.stderr)
            expect_picture(self, picture, PNG)

    def test_wrong_input(self):
        with tempfile.TemporaryDirectory() as folder:
            picture, text, empty = (Path(folder) / name for name in ("x.png", "text.json", "empty.json"))
            text.write_text("no JSON")
            empty.write_text('{"traceEvents": []}')
            for trace, part in ((Path(folder) / "missing", "No such file"), (text, "no trace"), (empty, "holds no steps"),
                                (DATA / "scaling.json", "no trace")):
                expect_one_clear_line(self, run_tool("plot_trace.py", trace, picture), trace.name, part)
            expect_one_clear_line(self, run_tool("plot_trace.py", DATA / "trace.json", picture, "--ranks", 7), "no rank 7")
            expect_one_clear_line(self, run_tool("plot_trace.py", DATA / "trace.json", Path(folder) / "x.word"), "x.word")


@unittest.skipUnless(HAS_MATPLOTLIB, NO_MATPLOTLIB)
class ScalingTest(unittest.TestCase):
    def test_replot_from_recorded_results(self):
        with tempfile.TemporaryDirectory() as folder:
            done = run_tool("scaling.py", "--replot", DATA / "scaling.json", "--output", folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            expect_picture(self, Path(folder) / "scaling.png", PNG)
            expect_picture(self, Path(folder) / "scaling.svg", SVG)
            table = (Path(folder) / "scaling.txt").read_text()
            self.assertEqual(table, done.stdout)
            rows = read_json(DATA / "scaling.json")["rows"]
            self.assertEqual(len(table.splitlines()), 1 + len(rows))
            # 100 token/s on one rank and 150 on two are 75 % of what could be.
            self.assertRegex(table, r"weak +2 +16 .* 150\.0 +75 %")

    def test_runs_ranks_and_repeats(self):
        """A program that stands in: twice the token/s on two ranks."""
        with tempfile.TemporaryDirectory() as folder:
            program = stand_in(folder, """
result = dict.fromkeys(("prefill_s", "decode_s", "total_s", "prefill_token_s", "decode_token_s"), 1.0)
ranks = int(after("-n"))
result |= {"total_token_s": 50.0 * ranks, "prompts": ranks * int(after("--gpu-batch-size"))}
names = ("compute host load store disk_read disk_write send recv waiting fill drain").split()
split = {phase: dict.fromkeys(names, 1.0) for phase in ("prefill", "decode")}
json.dump({"result": result, "ranks": [{"split": split}] * ranks}, open(after("--json"), "w"))""")
            done = run_tool("scaling.py", "--launch", program, "--program", program, "--ranks", 1, 2, "--batch", 4,
                            "--repeats", 2, "--output", folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            data = read_json(Path(folder) / "scaling.json")
            self.assertEqual([(row["mode"], row["ranks"], row["prompts"]) for row in data["rows"]],
                             [("weak", 1, 4), ("weak", 2, 8), ("strong", 1, 4), ("strong", 2, 4)])
            self.assertEqual(data["rows"][1]["total_token_s_each"], [100.0, 100.0])
            self.assertAlmostEqual(data["rows"][0]["shares"]["decode"]["send"], 1 / 11)
            self.assertRegex(done.stdout, r"weak +2 .* 100 % +50 %")

    def test_on_cpu_ranks(self):
        with tempfile.TemporaryDirectory() as folder:
            done = run_tool("scaling.py", "--program", PROGRAM, "--ranks", 2, "--modes", "weak", "--batch", 2, "--threads", 1,
                            "--repeats", 1, "--output", folder, "--", "--model", ROOT / "models/tiny-opt", "--prompt-len", 8,
                            "--gen-len", 3)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(read_json(Path(folder) / "scaling.json")["rows"][0]["prompts"], 4)
            expect_picture(self, Path(folder) / "scaling.svg", SVG)

    def test_wrong_input(self):
        with tempfile.TemporaryDirectory() as folder:
            def run(*words):
                return run_tool("scaling.py", "--output", folder, *words)
            expect_one_clear_line(self, run("--replot", Path(folder) / "missing.json"), "missing.json")
            expect_one_clear_line(self, run("--replot", DATA / "trace.json"), "trace.json", "no results")
            expect_one_clear_line(self, run("--program", PROGRAM, "--ranks", 2, "--batch", 3, "--modes", "strong"), "--batch 3", "2 ranks")
            expect_one_clear_line(self, run("--program", "/no/such/optpipe"), "/no/such/optpipe", "--program")
            failing = stand_in(folder, "sys.exit('optpipe: error: no such model')")
            done = run("--launch", failing, "--program", failing, "--ranks", 1, "--repeats", 1)
            expect_one_clear_line(self, done, "status 1", "no such model")


class WithoutMatplotlib(unittest.TestCase):
    def test_says_what_to_install(self):
        if HAS_MATPLOTLIB:
            self.skipTest("matplotlib is there")
        expect_one_clear_line(self, run_tool("plot_trace.py", DATA / "trace.json", "x.png"), "python3-matplotlib")


if __name__ == "__main__":
    if not HAS_MATPLOTLIB:
        print(f"pictures are not tested: {NO_MATPLOTLIB}")
    unittest.main()
