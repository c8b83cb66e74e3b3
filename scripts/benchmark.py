"""What training costs on this machine's processor, beside what else could be used for it.

Notes on what was tried to make a step fast, on two cores of an AMD EPYC (Zen 4) on 2026-11-24. A factor is the time without a
thing to the time with it, a median over rounds in turn; figures in ns are of one call inside a loop.

Kept:

- Recording a step's calls and playing them into arrays that are made once (`portable_bp/backends/recorded`), instead of calling
  the step: 2-4-3-2 by 4.0 with SGD and 5.1 with Adam, 64-32-10 by 2.9 and 3.4, 784-128-10 by 1.2, and nothing beyond the noise
  for 784-512-512-10. On PyTorch 3.7 and 4.6, 2.7 and 2.9, 1.2, 1.1.
- Arrays that an optimizer treats alike laid side by side, so that it is a few calls whatever the depth: 2-4-3-2 by 1.1 with SGD
  and 1.4 with Adam, 64-32-10 by 1.1 and 1.2; larger networks by nothing.
- Elementwise work in blocks that stay in the cache: nothing beyond the noise up to 784-512-512-10, nor for
  1024-4096-4096-1024 with SGD (1.00); with Adam it was not timed apart.
- For arrays of a few numbers, `array.dot(other, out)` in place of `np.dot` (238 ns, not 368), a product with ones in place of a
  sum (234, not 789), an assignment in place of `np.copyto` (132, not 247).
- A rate times a weight's slope as the product of a scaled delta, which is smaller: one pass over the weights less, which
  is 16 of some 460 us for 784-128-10.
- On JAX, all batches of an epoch inside one compiled scan; see the README for what it gives.

Not kept, since it gave too little or nothing:

- The halves of the blocks in two Python threads: 784-128-10 took 1.03 to 1.07 times as long, 1024-4096-4096-1024 1.01.
- Blocks of a quarter or of four times the size: nothing beyond the noise. In PyTorch, blocks: wide Adam by 1.1, else nothing.
- A bias added as a product with ones, then a sum of arrays of one shape: quicker for less than some thousand numbers (556 ns,
  not 815, for 64), slower from 64 x 512 up.
- The recorded calls as one generated function in place of a loop over them: 208 ns a call, not 234.
- Rows taken by 64-bit numbers in place of 32-bit ones: 182 ns, not 422, twice a step; other libraries want 32-bit ones.
- JAX's scan unrolled by 4: 0.9 to 1.4 times as long.

What keeps the rest from its target, each shown by timing a step's calls one by one:

- A step of 2-4-3-2 is 51 calls of NumPy, none of which takes less than some 200 ns; JAX's is one call.
- 784-128-10 spends 60 us of some 490 on gathering its batch from 65,536 rows, and 16 on looking for NaN among what it is given,
  which neither the floor nor those who take ready batches do; the bias, the activation and the update go over arrays that the
  other core's cache holds.
- For 784-512-512-10 the products alone, by OpenBLAS, take 0.7 to 0.8 of the whole step of PyTorch (by MKL) and of JAX. Where
  others use this machine too, what OpenBLAS does in two threads swings most: from 5.4 to 9.7 ms a step within one run.
- Adam goes ten times over every weight, NumPy's calls doing one thing each, where a compiled step goes once; and so do the
  calls recorded on PyTorch, while the peer has its fused optimizers, which go once, too.
- Where products are nearly all of a step, no loop can be 1.5 times as fast as another, on JAX or elsewhere.
- 1024-4096-4096-1024 has epochs of 24 steps: copying its weights out at the end, into memory that the system has to provide, is
  0.1 to 0.3 s, and so some 2 % of a step. On PyTorch, with SGD, products are 491 of the 504 ms that its calls take, and the
  loop written with PyTorch took 544 ms beside it: what that ratio shows above 1 is what begins and ends an epoch, and noise.
- Fits of the estimators are in float64, as scikit-learn's are, and from the same products by the same OpenBLAS. 784-128-10 on
  20,000 samples spends 1.7 of some 2.4 ms a step on them on one thread, 0.16 on gathering the batch, and 0.5 on going twelve
  times over the weights for Adam and the penalty: with the products alone at 0.6 of scikit-learn's time, 0.6 cannot be had. A
  step on the digits is 170 us of products and 100 of 70 other calls, of which the root and the division of Adam, the bias and
  the activation take 44; every epoch begins and ends with 0.2 ms, besides 0.15 for copying what it learned in and out;
  recording anew is 8 ms a fit.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

CASES = ("2-4-3-2", "64-32-10", "784-128-10", "784-512-512-10", "1024-4096-4096-1024")
EVERYTHING = ("step", "epoch", "inference", "fit", "growth", "memory", "import", "install")
QUICK = {"cases": CASES[:-1], "wanted": ("step", "import", "install")}
RESULTS = Path(__file__).parent / "results"


def options(given: list[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for.

    Parameters
    ----------
    given : list of str, optional
        Its words; without it, those of this process.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser = argparse.ArgumentParser(prog="scripts/benchmark", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="within a minute: a step of all but the widest, in few rounds")
    parser.add_argument(
        "--rounds", type=int, help="how many; without it, 7, or 3 for the widest, for predictions and when quick"
    )
    parser.add_argument("--cases", help=f"which networks, of {','.join(CASES)}")
    parser.add_argument("--only", help=f"what to measure, of {','.join(EVERYTHING)}")
    parser.add_argument("--threads", type=int, default=cores, help="how many each library may use; without it, all")
    parser.add_argument(
        "--output", type=Path, help="where the results go, pictures beside them; a whole run's there are brought up to date"
    )
    parser.add_argument(
        "--readme", action="store_true", help="only write README's table and the pictures again, as a whole run does at its end"
    )
    chosen = parser.parse_args(given)
    for name in ("rounds", "threads"):
        number = getattr(chosen, name)
        if number is not None and number < 1:
            parser.error(f"--{name} is {number}, and should be a whole number from 1 up.")
    if chosen.threads < cores and not hasattr(os, "sched_setaffinity"):
        parser.error("--threads: this system cannot keep JAX to fewer threads than there are cores.")

    def named(option: str, text: str | None, known: tuple[str, ...], otherwise: tuple[str, ...]) -> list[str]:
        names = list(otherwise) if text is None else [name for name in text.split(",") if name]
        if not names or not set(names) <= set(known):
            parser.error(f"--{option} is {text!r}, and should name some of {','.join(known)}.")
        return names

    chosen.whole = not (chosen.quick or chosen.cases or chosen.only or chosen.rounds)
    chosen.wanted = set(named("only", chosen.only, EVERYTHING, QUICK["wanted"] if chosen.quick else EVERYTHING))
    chosen.case_names = named("cases", chosen.cases, CASES, QUICK["cases"] if chosen.quick else CASES)
    chosen.output = chosen.output or RESULTS / ("cpu.json" if chosen.whole or chosen.readme else "part.json")
    return chosen


def pin(threads: int) -> None:
    """Let every library have so many threads of the processor: to be called before any of them is imported.

    Parameters
    ----------
    threads : int
        How many.
    """
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ.pop("OPENBLAS_CORETYPE", None)  # each chooses its own kernels
    os.environ |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))


def main() -> int:
    """Measure, and return the exit code."""
    chosen = options()
    pin(chosen.threads)
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from scripts.benchmarking.cases import CASES as known
    from scripts.benchmarking.run import run

    chosen.cases = [case for case in known if case.name in chosen.case_names]
    return run(chosen)


if __name__ == "__main__":
    sys.exit(main())
