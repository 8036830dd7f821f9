"""A publisher and devices: exports behind a server of files, a key, and programs in Node that load them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import onnx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from servable.bundles.load import Predictor
from servable.bundles.signatures import signed
from servable.edge.devices import serving
from servable.edge.export import export
from servable.edge.life import life_of
from servable.edge.program.signed import Update
from servable.edge.publish import publish

ROW = {"age": 40, "income": 2500, "city": "north", "kind": "a"}


def key_at(path: Path) -> Path:
    """A new private key."""
    data = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(data)
    return path


class Publisher(NamedTuple):
    """`root` is what the server at `url` shows."""

    predictor: Predictor
    root: Path
    url: str
    key: Path

    @property
    def updates(self) -> Path:
        return self.root / "updates"

    def export(self, version: str) -> Path:
        """A version of the model, with a file of its own, in a folder of its name."""
        folder = self.root / f"web{version}"
        if not folder.exists():
            life = life_of(f"{self.url}updates", [signed(b"", self.key)[0]])
            export(self.predictor, version, folder, proof=False, life=life)
            if version != "1":
                change_model(folder, version)
        return folder

    def changed(self, version: str, name: str, place: Path, **more: Any) -> Path:
        """An export in which a file of JSON says something else."""
        folder = place / "changed"
        shutil.copytree(self.export(version), folder)
        told = json.loads((folder / name).read_bytes())
        (folder / name).write_text(json.dumps(told | more))
        return folder

    def publish(self, folder: Path | None = None, **more: Any) -> Update:
        return publish(self.updates, self.key, folder, unproven=True, **more)


@contextmanager
def publishing(predictor: Predictor, place: Path) -> Iterator[Publisher]:
    """A publisher whose server is up."""
    root = place / "root"
    root.mkdir()
    with serving(root) as url:
        yield Publisher(predictor, root, url, key_at(place / "key.pem"))


def change_model(folder: Path, word: str) -> None:
    """Other bytes of the model that compute the same, and the contract that knows them."""
    model = onnx.load_from_string((folder / "model.onnx").read_bytes())
    model.doc_string = word
    data = model.SerializeToString()
    contract = json.loads((folder / "contract.json").read_bytes())
    contract["file"] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "model.onnx").write_bytes(data)
    (folder / "contract.json").write_text(json.dumps(contract))


def in_node(folder: Path, keep: Path, script: str, *, code: int = 0) -> Any:
    """What a program prints as JSON that has loaded `model` from the folder."""
    text = (
        f"import {{ load }} from {json.dumps(str(folder / 'node.js'))};\n"
        f"const row = {json.dumps(ROW)};\n"
        f"const model = await load({{ keep: {json.dumps(str(keep))} }});\n"
        f"const told = {script};\nconsole.log(JSON.stringify(await told));\nawait model.close();\n"
    )
    node = shutil.which("node") or "node"
    done = subprocess.run(
        [node, "--input-type=module", "--eval", text], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


@contextmanager
def killed(folder: Path, keep: Path) -> Iterator[None]:
    """A program that looks for an update, until the end of the `with`."""
    text = f"import {{ load }} from {json.dumps(str(folder / 'node.js'))};\n"
    text += f"await (await load({{ keep: {json.dumps(str(keep))} }})).update();\n"
    program = subprocess.Popen([shutil.which("node") or "node", "--input-type=module", "--eval", text])
    try:
        yield
    finally:
        program.kill()
        program.wait()


UPDATED = """model.update().then(
  async (state) => [state.update, (await model.predict([row])).model_version, state.message])"""
"""Look for an update, then ask."""
