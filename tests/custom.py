"""Bundles of custom Python, as packing with consent would have made them; and a model that does its worst on demand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from servable.bundles.digest import of_tree
from servable.bundles.manifest import dumps
from servable.domain.bundle import MANIFEST, Manifest
from servable.runtimes.python import PythonRuntime

DOUBLER = """
import servable

class Doubler(servable.PythonModel):
    inputs = {"x": "FP32 [-1, 2]"}
    outputs = {"y": "FP32 [-1, 2]"}

    def predict(self, batch):
        return {"y": batch["x"] * 2}
"""

CHOOSY = """
import os
import servable

class Choosy(servable.PythonModel):
    inputs = {"x": "FP32 [-1]"}
    outputs = {"y": "FP32 [-1]"}

    def predict(self, batch):
        if (batch["x"] < 0).any():
            raise ValueError("no roots of what is below nothing")
        if (batch["x"] == 666).any():
            os._exit(6)
        return {"y": batch["x"] ** 0.5}
"""

HOSTILE = '''
"""Does what the text says, then answers with twice the number: what comes of an attempt is said in `said`."""
import ctypes, os, signal, socket, subprocess, sys, threading, time
import numpy as np
import servable

HELD = []

def attempt(action):
    try:
        return f"did: {action()!r:.100}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"

def connect(where):
    with socket.create_connection(where, timeout=5) as sock:
        return sock.getpeername()

def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return os.waitpid(pid, 0)

def ptrace(pid):
    system = ctypes.CDLL(None, use_errno=True)
    if system.ptrace(16, pid, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    return "attached"

def act(text):
    word, _, rest = text.partition(" ")
    match word:
        case "": return ""
        case "pid": return str(os.getpid())
        case "home": return os.environ["HOME"]
        case "sleep": time.sleep(float(rest))
        case "exit": os._exit(int(rest))
        case "sys.exit": sys.exit(int(rest))
        case "segfault": ctypes.string_at(0)
        case "abort": os.abort()
        case "loop":
            while True: pass
        case "hog": ctypes.PyDLL(None).sleep(int(rest))
        case "leak": HELD.append(bytearray(os.urandom(4096) * int(int(rest) / 4096)))
        case "raise": raise RuntimeError("secret /etc/path")
        case "read": return attempt(lambda: open(rest).read())
        case "list": return attempt(lambda: os.listdir(rest))
        case "write": return attempt(lambda: open(rest, "w").write("was here"))
        case "connect":
            host, port = rest.split(":")
            return attempt(lambda: connect((host, int(port))))
        case "fork": return attempt(fork)
        case "exec": return attempt(lambda: subprocess.run([rest]))
        case "kill": return attempt(lambda: os.kill(os.getppid(), signal.SIGKILL))
        case "ptrace": return attempt(lambda: ptrace(os.getppid()))
        case "environ": return repr(sorted(os.environ))
        case "thread":
            seen = []
            thread = threading.Thread(target=lambda: seen.append(attempt(lambda: open(rest).read())))
            thread.start(); thread.join()
            return seen[0]
        case "scratch":
            import tempfile
            with tempfile.NamedTemporaryFile("w+") as file:
                file.write("here"); file.seek(0)
                return file.read()
        case "memory": return str(len(bytearray(int(rest))))
    return "done"

class Hostile(servable.PythonModel):
    inputs = {"do": "BYTES", "x": "FP64"}
    outputs = {"y": "FP64", "said": "BYTES"}

    def predict(self, batch):
        said = [act(text) for text in batch["do"]]
        y = batch["x"] * 2
        if "short" in batch["do"]:
            y = y[:-1]
        if "nan" in batch["do"]:
            y = y * np.nan
        if "huge" in batch["do"]:
            said = ["x" * (1 << 20)] * len(said)
        return {"y": y, "said": np.array(said, object)}
'''


LIBRARY = """
import numpy as np
import servable
import six

class Told(servable.PythonModel):
    inputs = {"x": "FP64"}
    outputs = {"six": "BYTES"}

    def predict(self, batch):
        return {"six": np.array([six.__version__] * len(batch["x"]), object)}
"""
"""Answers with the version of a library that it runs on."""


def with_own_library(folder: Path, version: str) -> Path:
    """The folder, with a bundle in it that names the version."""
    folder.mkdir(parents=True)
    (folder / "requirements.txt").write_text(f"six=={version}\n")
    return custom(folder, LIBRARY, requirements="requirements.txt")


def custom(folder: Path, source: str = DOUBLER, name: str = "custom", **options: Any) -> Path:
    """The folder, with a bundle of this code in it. The code is run here, to learn its signature."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.py").write_text(source)
    seen = PythonRuntime().declared(folder / "model.py")
    manifest = Manifest(
        name=name,
        format="python",
        model="model.py",
        platform="python",
        signature=seen.signature,
        files=of_tree(folder),
        options={"allow_unsafe": True, **seen.options, **options},
    )
    (folder / MANIFEST).write_bytes(dumps(manifest))
    return folder
