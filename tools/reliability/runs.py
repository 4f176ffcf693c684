"""Runs of optpipe under mpirun that can be disturbed: shared by soak.py and faults.py."""

import json
import os
import pathlib
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def write_prompts(path, count, new_tokens=(8, 32)):
    """Prompts of one to twelve tokens for the bundled model, with lengths that vary."""
    low, high = new_tokens
    with open(path, "w") as file:
        for i in range(count):
            tokens = [2] + [40 + (7 * i + 13 * j) % 3000 for j in range(1 + i % 12)]
            file.write(json.dumps({"id": f"prompt-{i}", "tokens": tokens, "max_new_tokens": low + i % (high - low)}) + "\n")


TINY = ["--model", str(ROOT / "models/tiny-opt")]


class Run:
    """One run over several ranks; `shell` goes before the program on every rank. Without `gpu` no GPU is in sight."""

    def __init__(self, program, ranks, words, log, shell="", gpu=False):
        self.log = open(log, "w")
        command = f'source {ROOT}/launch/mpi-flags.sh; exec mpirun -n {ranks} "${{mpirun_flags[@]}}" "$@"'
        rank_command = ["bash", "-c", f'{shell} exec "$0" "$@"', program] if shell else [program]
        environment = dict(os.environ, OMP_NUM_THREADS="1", ASAN_OPTIONS="detect_leaks=0")
        if not gpu:
            environment["CUDA_VISIBLE_DEVICES"] = ""
        self.process = subprocess.Popen(
            ["bash", "-c", command, "mpirun", *rank_command, "generate", *words],
            stdout=subprocess.DEVNULL, stderr=self.log, env=environment, start_new_session=True)
        self.program = os.path.realpath(program)

    def ranks(self):
        """Process ids by rank, of this run's ranks that are alive."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if os.readlink(entry / "exe") != self.program or os.getsid(int(entry.name)) != self.process.pid:
                    continue
                for variable in (entry / "environ").read_bytes().split(b"\0"):
                    if variable.startswith(b"OMPI_COMM_WORLD_RANK="):
                        found[int(variable.split(b"=")[1])] = int(entry.name)
            except OSError:  # it has ended meanwhile
                continue
        return found

    def wait_for(self, condition, seconds=120):
        """Until the condition holds; false if the run ends before."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.005)
        raise TimeoutError(f"nothing happened for {seconds} s")

    def finish(self, seconds=300):
        status = self.process.wait(seconds)
        end = time.monotonic() + 20  # processes that outlive mpirun have no place to hide in: they are found by session
        while self.ranks() and time.monotonic() < end:
            time.sleep(0.01)
        self.log.close()
        return status


def journaled(output):
    try:
        with open(f"{output}.journal", "rb") as file:
            return max(0, file.read().count(b"\n") - 1)
    except FileNotFoundError:
        return 0


def send(process, number):
    os.kill(process, number)


KILL, STOP, CONTINUE = signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT
