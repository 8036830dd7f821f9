"""Turn proto/*.proto into src/servable/wire/generated/ (needs grpcio-tools): `python proto/generate.py [--check]`.

With `--check` nothing is written: it fails if what is there is not what the .proto files say.

What protoc writes is changed in two ways:
- The messages live in a descriptor pool of their own. protoc's default pool is one for the whole process, and refuses
  two files that define the same package: a program that uses another client of this protocol could not import ours.
- protoc's check that the protobuf library is no older than itself is left out. It would tie users to the newest
  protobuf; what the files use is in all versions that we allow, which tests/wire/test_generated.py proves.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "src" / "servable" / "wire" / "generated"
UNWANTED = ("runtime_version", "_runtime_version", "ValidateProtobufRuntimeVersion", "NO CHECKED-IN")
SHARED_POOL = "_descriptor_pool.Default()"


def main() -> int:
    if "--check" not in sys.argv:
        return generate(TARGET)
    with tempfile.TemporaryDirectory() as folder:
        status = generate(Path(folder))
        stale = [path.name for path in Path(folder).iterdir() if what(path) != what(TARGET / path.name)]
    if stale:
        print(f"{', '.join(stale)}: not what proto/ says; run  python proto/generate.py", file=sys.stderr)
    return status or bool(stale)


def generate(target: Path) -> int:
    """Write the modules and their types into a folder. Returns protoc's exit status."""
    target.mkdir(exist_ok=True)
    sources = sorted(path.name for path in HERE.glob("*.proto"))
    status = protoc.main(["protoc", f"-I{HERE}", f"--python_out={target}", f"--pyi_out={target}", *sources])
    for path in target.glob("*_pb2.py") if not status else ():
        path.write_text(private(path.read_text()))
    return int(status)


def what(path: Path) -> list[str]:
    """What a module defines: versions of protoc differ in the rest."""
    text = path.read_text() if path.exists() else ""
    return [line for line in text.splitlines() if path.suffix == ".pyi" or line.startswith("DESCRIPTOR")]


def private(text: str) -> str:
    """A generated module with a pool of its own and no check of versions. Fails if protoc's output is not as known."""
    if text.count(SHARED_POOL) != 1:
        raise SystemExit(f"protoc's output has changed: {SHARED_POOL} is expected once")
    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("_runtime_version.Validate"):
            inside = True
        if not inside and not any(word in line for word in UNWANTED):
            kept.append(line)
        if inside and line.startswith(")"):
            inside = False
    return "\n".join(kept).replace(SHARED_POOL, "_descriptor_pool.DescriptorPool()") + "\n"


if __name__ == "__main__":
    sys.exit(main())
