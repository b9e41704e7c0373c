"""An engine process whose interpreter lock is held by C while the trip comes; the venue's side is its parent.

Arguments: a port on loopback, a state directory, the seconds. Says in JSON what happened when.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from bench.loops import loop_silence
from engine._core.latch import Latch
from engine.safety.sentry import Sentry


def main() -> None:
    port, directory, seconds = int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    latch = Latch(directory / "latch")
    out = np.zeros(3, np.int64)
    with Sentry(latch, priority=0) as sentry, socket.create_connection(("127.0.0.1", port)) as channel:
        sentry.catch(signal.SIGUSR1)
        sender = threading.Thread(target=loop_silence.send, args=(latch, channel.fileno(), out))
        # A thread that takes the signal: the main one is inside C, and the handler is C's too.
        presser = subprocess.Popen(["/bin/sh", "-c", f"sleep 0.3; kill -USR1 {os.getpid()}"])
        sender.start()
        began = loop_silence.now_ns()
        loop_silence.hold(seconds)
        free = loop_silence.now_ns()
        presser.wait()
        sender.join()
        ((reason, _, _),) = latch.record()
        durable_ns = sentry.state["durable_ns"]
    told = {
        "reason": reason, "began": began, "free": free, "durable": durable_ns, "frames": int(out[0]),
        "last_write": int(out[1]), "sender_ended": int(out[2]),
    }  # fmt: skip
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
