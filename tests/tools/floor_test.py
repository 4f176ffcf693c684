"""tools/floor.py against figures worked out by hand, and the order of what cannot be faster than what."""
import unittest

from support import load_tool

floor = load_tool("floor")
ALL, OFFLOAD = (100, 0, 100, 0, 100, 0), (20, 80, 0, 100, 0, 100)
H100, H200 = floor.CEILINGS["H100"], floor.CEILINGS["H200"]


class Floors(unittest.TestCase):
    def test_figures_of_the_table(self):
        """total token/s, as docs/performance.md has them."""
        work = floor.Workload
        for workload, ceilings, expected in (
                (work("opt-6.7b", 32, 1, ALL), H200, 2187),
                (work("opt-30b", 48, 4, OFFLOAD, weight_bits=4.5, kv_bits=4.5), H100, 162),
                (work("opt-30b", 48, 4, OFFLOAD, attention="split", weight_bits=4.5, kv_bits=4.5), H100, 335),
                (work("opt-30b", 48, 2, OFFLOAD), H100, 44)):
            self.assertAlmostEqual(floor.floor_of(workload, ceilings).token_s / expected, 1, delta=0.03, msg=workload)

    def test_a_decode_step_that_streams_weights(self):
        one = floor.floor_of(floor.Workload("opt-30b", 1, 1, (0, 100, 100, 0, 100, 0)), H100)
        matrices = 48 * (12 * 7168**2 + 13 * 7168)
        self.assertAlmostEqual(one.decode_step["host to GPU"], 2 * matrices / 55e9)
        self.assertEqual(floor.Floor.binds(one.decode_step), "host to GPU")

    def test_looped_stages_read_weights_once(self):
        contiguous = floor.floor_of(floor.Workload("opt-30b", 12, 1, (0, 100, 100, 0, 100, 0), ranks=4), H200)
        looped = floor.floor_of(floor.Workload("opt-30b", 12, 1, (0, 100, 100, 0, 100, 0), ranks=4, looped=True), H200)
        self.assertAlmostEqual(contiguous.decode_step["host to GPU"] / looped.decode_step["host to GPU"], 4)

    def test_flags_are_those_of_bench(self):
        flags = floor.Workload("opt-30b", 12, 3, OFFLOAD, 4, True, "split", 4.5, 4.5).flags
        for words in (["--gpu-batch-size", "12"], ["--stages", "looped"], ["--compress-weight"], ["--compress-cache"]):
            self.assertIn(" ".join(words), " ".join(flags))


if __name__ == "__main__":
    unittest.main()
