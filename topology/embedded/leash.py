"""Run as a script between us and a server: keeps the server from outliving us, whatever ends us.

    parent --stdin pipe--> leash --child--> java | redis-server

The parent holds the only write end of the pipe. When the parent ends, even by kill -9, the read end sees end of file
and the server is ended. A `getppid` check covers a pipe that another child of the parent inherited by a fork. Should
the leash itself be killed, Linux ends the server by PR_SET_PDEATHSIG. Being the server's parent, the leash can signal
it without ever hitting a reused process id: each line on stdin is a signal's name, answered with `ok`.
Standard library only and no import of ours: it runs with `python -I -S`, in 20 ms.
"""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys

POLL_S = 0.2
GRACE_S = 10.0
PR_SET_PDEATHSIG = 1


IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def prepare_server() -> None:
    """In the server, before it runs: the signals that the leash ignores work again, and it dies with the leash."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_DFL)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end(server: subprocess.Popen[bytes], grace_s: float) -> None:
    """SIGTERM (and SIGCONT, for a paused one), then SIGKILL once the grace is over."""
    server.send_signal(signal.SIGTERM)
    server.send_signal(signal.SIGCONT)
    try:
        server.wait(grace_s)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def obey(line: bytes, server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.Signals[line.decode().strip()])
    sys.stdout.write("ok\n")
    sys.stdout.flush()


def watch(server: subprocess.Popen[bytes], parent: int) -> bool:
    """True when the parent is gone, False when the server ended first."""
    buffer = b""
    while server.poll() is None:
        if select.select([0], [], [], POLL_S)[0]:
            chunk = os.read(0, 4096)
            if not chunk:
                return True
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                obey(line, server)
        elif os.getppid() != parent:
            return True
    return False


def main(parent: int, scratch: str, output: str, command: list[str]) -> int:
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        preexec_fn=prepare_server,
    )
    print(server.pid, flush=True)
    if watch(server, parent):
        end(server, GRACE_S)
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]))
