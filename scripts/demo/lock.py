"""Lock a file that quickstart.sh has open, for as long as it or a program of its own has it open.

python scripts/demo/lock.py DESCRIPTOR FOLDER
"""

import fcntl
import sys
import time

PATIENCE = 5.0  # seconds; what was killed closes its files when its memory is freed


def main(descriptor: str, folder: str) -> int:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(int(descriptor), fcntl.LOCK_EX | fcntl.LOCK_NB)
            return 0
        except BlockingIOError:
            if time.monotonic() > end:
                print(
                    f"quickstart: another one is at work in {folder}, or what a killed one started;"
                    " wait until it ends, stop it, or name another folder in WORK",
                    file=sys.stderr,
                )
                return 1
            time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
