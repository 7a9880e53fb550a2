"""Opens and closes a store while other threads read as keystrokes do; a process of its own, since what it
looks for is a crash.

Run: python close_while_reading.py FOLDER TIMES. Ends with exit code 0.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from indexer.store import IndexStore
from indexer.store_identity import StoreIdentity

DIGESTS = [f"{number:032x}" for number in range(2_000)]
N_READERS = 3


def main() -> None:
    folder, times = Path(sys.argv[1]), int(sys.argv[2])
    for number in range(times):
        store = IndexStore.open(folder, StoreIdentity(1, "words"))
        if not number:
            with store.writing():
                store.put_texts((digest, "word " * 50, f"word {digest}") for digest in DIGESTS)
        readers = [threading.Thread(target=read, args=(store,)) for _ in range(N_READERS)]
        for reader in readers:
            reader.start()
        time.sleep(0.002 * (number % 9))
        store.close()
        for reader in readers:
            reader.join()


def read(store: IndexStore) -> None:
    """Until the store is closed, which is said and no crash."""
    try:
        while True:
            store.texts(DIGESTS)
            store.match(["word"], 50)
            assert store.generation == 0
    except sqlite3.ProgrammingError as error:
        assert "closed" in str(error)


if __name__ == "__main__":
    main()
