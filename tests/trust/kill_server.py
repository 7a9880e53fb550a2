"""Does the work of a test in children that die at a given step; a process of its own, so that each child
is a cheap fork without anybody's threads.

Run: python kill_server.py. Each line on stdin, JSON with `scenario`, `root`, `cache` and `step`, makes one
child and one line on stdout: its exit code and the names of the steps that it took (if it lived).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def main() -> None:
    sys.path[:0] = [str(TESTS / "trust"), str(TESTS), str(TESTS.parent)]
    sys.path = [path for path in sys.path if Path(path or ".").resolve() != TESTS / "hef_lsp"]
    import fault_rig

    fault_rig.bundle()
    for line in sys.stdin:
        order = json.loads(line)
        back, there = os.pipe()
        child = os.fork()
        if child == 0:
            names = _work(order)
            os.write(there, json.dumps(names).encode()[:60_000])
            os._exit(0)
        os.close(there)
        with os.fdopen(back, "rb") as pipe:
            names = pipe.read()
        _, status = os.waitpid(child, 0)
        print(
            json.dumps({"code": os.waitstatus_to_exitcode(status), "names": json.loads(names or b"[]")}),
            flush=True,
        )


def _work(order: dict[str, object]) -> list[str]:
    from fault_rig import change, serving, settled
    from fault_steps import Steps, die, stepping

    root, cache, step = Path(str(order["root"])), Path(str(order["cache"])), order["step"]
    with stepping(cache, Steps(die, lambda number: number == step)) as steps, serving(root, cache) as folder:
        settled(folder)
        if order["scenario"] == "update":
            folder.notify(change(root))
            settled(folder)
    return steps.names


if __name__ == "__main__":
    main()
