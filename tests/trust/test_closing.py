"""An index that is made anew, or given up, while a keystroke reads it: the keystroke finds nothing, and the
server lives.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tally import FULL, Row, count

TIMES = 200 if FULL else 15


def test_a_store_closed_while_others_read_does_not_end_the_process(tmp_path: Path) -> None:
    """SQLite's connections were closed under the threads that read with them, as `hef.reindex` does."""
    script = Path(__file__).with_name("close_while_reading.py")
    count(Row.FAULTS_INJECTED, TIMES)
    ended = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(script), str(tmp_path), str(TIMES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert not ended.stderr, ended.stderr[-2000:]
    count(Row.FAULTS_SURVIVED, TIMES)
