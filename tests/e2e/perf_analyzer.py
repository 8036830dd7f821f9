"""Triton's perf_analyzer, unmodified, out of the wheels it was published in. Linux on x86-64 only, as it is.

It wants two libraries that a machine need not have. One (CUDA's runtime) comes from its own wheel. Of the other,
libb64, it uses nothing unless input files hold base64: a library that only has those names, and traps when one is
called, is written here.
"""

from __future__ import annotations

import os
import platform
import re
import struct
import subprocess
import sys
from typing import Final, NamedTuple

from tests.assets import ROOT, wheel

RUNS_HERE: Final = sys.platform == "linux" and platform.machine() == "x86_64"
NAMES: Final = (
    "base64_init_encodestate", "base64_encode_block", "base64_encode_blockend", "base64_init_decodestate",
    "base64_decode_block",
)  # fmt: skip


class Measured(NamedTuple):
    """What it reports."""

    requests: int
    rate: float
    server_requests: int
    output: str


def measure(*arguments: str) -> Measured:
    """Run it. Fails if it does, or reports an error."""
    client = wheel("tritonclient==2.50.0")
    (program,) = client.rglob("bin/perf_analyzer")
    program.chmod(0o755)
    (cuda,) = wheel("nvidia-cuda-runtime-cu12==12.9.79").rglob("libcudart.so.12")
    stub = ROOT / "libb64"
    stub.mkdir(parents=True, exist_ok=True)
    half = stub / f"half-{os.getpid()}"
    half.write_bytes(library(NAMES))
    half.rename(stub / "libb64.so.0d")
    ran = subprocess.run(
        [str(program), *arguments],
        env={**os.environ, "LD_LIBRARY_PATH": f"{stub}:{cuda.parent}"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    output = ran.stdout + ran.stderr
    assert ran.returncode == 0, output
    return Measured(
        int(_number(r"Request count: (\d+)", output)),
        _number(r"Throughput: ([\d.]+) infer/sec", output),
        int(_number(r"Successful request count: (\d+)", output)),
        output,
    )


def _number(pattern: str, output: str) -> float:
    found = re.search(pattern, output)
    assert found, output
    return float(found[1])


def library(names: tuple[str, ...]) -> bytes:
    """An ELF shared object for x86-64 that exports these functions; each traps.

    Source: the System V ABI, chapters "Object Files" and "Dynamic Linking".
    """
    page = 0x1000
    strings = b"\0" + b"".join(name.encode() + b"\0" for name in names)
    symbols = bytes(24)
    for index, name in enumerate(names):
        symbols += struct.pack("<IBBHQQ", strings.index(name.encode()), 0x12, 0, 1, page + 2 * index, 2)
    count = len(names) + 1
    chain = [max(index - 1, 0) for index in range(count)]  # one bucket, from the last symbol down to none
    table = struct.pack(f"<III{count}I", 1, count, count - 1, *chain)
    places = {}
    read_only = bytearray(64 + 3 * 56)
    for tag, content in ((4, table), (5, strings), (6, symbols)):
        read_only += bytes(-len(read_only) % 8)
        places[tag] = len(read_only)
        read_only += content
    code = b"\x0f\x0b" * len(names)
    tags = {**places, 10: len(strings), 11: 24, 0: 0}
    dynamic = b"".join(struct.pack("<QQ", tag, value) for tag, value in tags.items())
    headers = b"".join(
        struct.pack("<IIQQQQQQ", kind, flags, offset, offset, offset, size, size, page)
        for kind, flags, offset, size in (
            (1, 5, 0, page + len(code)),
            (1, 6, 2 * page, len(dynamic)),
            (2, 6, 2 * page, len(dynamic)),
        )
    )
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    start = struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 3, 64, 0, 0)
    read_only[: 64 + len(headers)] = ident + start + headers
    assert len(read_only) <= page
    return bytes(read_only).ljust(page, b"\0") + code.ljust(page, b"\0") + dynamic
