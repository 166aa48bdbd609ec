"""A stand-in for a compiled Stan program: CmdStan's command line and CSV, with faults that the data ask for.

The data file is JSON: ``mode`` names the fault (and ``chains`` those it strikes, all by default),
``columns`` the number of parameters, ``delay`` the seconds between iterations.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

SAMPLER = "lp__,accept_stat__,stepsize__,treedepth__,n_leapfrog__,divergent__,energy__"


def main() -> int:
    given = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    data_file = sys.argv[sys.argv.index("data") + 1].removeprefix("file=")
    output = sys.argv[sys.argv.index("output") + 1].removeprefix("file=")
    data = json.loads(Path(data_file).read_text())
    chain, seed = int(given["id"]), int(given["seed"])
    warmup, draws, thin = (int(given[key]) for key in ("num_warmup", "num_samples", "thin"))
    mode = MODES[data.get("mode", 0)]
    if chain not in data.get("chains", [chain]):
        mode = "ok"
    columns = data.get("columns", 3)
    delay = data.get("delay", 0.0)
    attempts = Path(f"attempts_{chain}")
    count = len(attempts.read_text()) if attempts.exists() else 0
    attempts.write_text("x" * (count + 1))
    Path(f"threads_{chain}").write_text(os.environ["STAN_NUM_THREADS"])
    if mode == "fail":
        print("Exception: normal_lpdf: Scale parameter is 0", file=sys.stderr)
        return 70
    if mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mode == "flood":
        for number in range(200_000):
            print(f"Informational message {number}")
    generator = random.Random(f"{seed} {chain}")
    binary = given.get("binary") == "1"
    with Path(output).open("w") as csv:
        csv.write(
            "# stan_version_major = 2\n# method = sample (Default)\n#   sample\n"
            f"#     num_samples = {draws}\n#     num_warmup = {warmup}\n#     save_warmup = false\n#     "
            f"thin = {thin}\n"
            f"# id = {chain}\n# data\n#   file = {data_file}\n# init = 2 (Default)\n# random\n#   seed = "
            f"{seed}\n"
            f"# output\n#   file = {output}\n"
        )
        names = [f"beta.{i + 1}" for i in range(columns)]
        csv.write(SAMPLER if binary else ",".join([SAMPLER, *names]))
        csv.write("\n")
        csv.flush()
        if binary:
            Path(output).with_suffix(".names").write_text("".join(f"{name}\n" for name in names))
        values = []
        for iteration in range(1, warmup + draws + 1):
            kind = "Warmup" if iteration <= warmup else "Sampling"
            print(f"Iteration: {iteration:4d} / {warmup + draws} [ 50%]  ({kind})", flush=True)
            time.sleep(delay)
            if iteration == (warmup + draws) // 2 and (mode == "kill" or (mode == "kill_once" and count == 0)):
                os.kill(os.getpid(), signal.SIGKILL)
            while mode in ("hang", "stubborn"):
                time.sleep(0.05)
            if iteration > warmup and (iteration - warmup - 1) % thin == 0:
                sampler = [generator.gauss(0, 1), 0.9, 0.5, 3, 7, 0, generator.gauss(0, 1)]
                row = [generator.gauss(0, 1) for _ in names]
                values.append(row)
                csv.write(",".join(repr(x) for x in (sampler if binary else sampler + row)) + "\n")
            if mode == "short" and iteration == warmup + draws - 1:
                return 0
        if binary:
            import array

            flat = array.array("f", [x for row in values for x in row])
            Path(output).with_suffix(".draws").write_bytes(flat.tobytes())
        if mode != "no_footer":
            csv.write(
                "# \n#  Elapsed Time: 0.5 seconds (Warm-up)\n#                0.25 seconds (Sampling)\n"
                "#                0.75 seconds (Total)\n# \n"
            )
    return 0


MODES = ("ok", "fail", "kill", "kill_once", "hang", "stubborn", "flood", "short", "no_footer")

if __name__ == "__main__":
    sys.exit(main())
