"""Whether a process of ours answers, for containers: `python -m connector.health URL`, exit code 0 or 1.

Imports nothing but the standard library, for it runs every few seconds. Knows no page and no process.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

TIMEOUT_SECONDS = 4.0


def answers(url: str) -> bool:
    """Whether a GET of an http URL is answered with success in time."""
    # Straight to the process, whatever proxy the environment names.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT_SECONDS) as response:
            return bool(200 <= response.status < 300)
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(0 if len(sys.argv) == 2 and answers(sys.argv[1]) else 1)
