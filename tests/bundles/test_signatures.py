from __future__ import annotations

import base64
import json
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from servable.bundles.open import open_bundle
from servable.bundles.signatures import demand, join_signatures, public_key, sign, signers
from servable.domain.ref import Ref
from servable.engine.plan import Target
from servable.errors import BundleError, DigestMismatch, EnvironmentFault, UnsignedModel, UsageError
from servable.registry.registry import Registry
from servable.server.isolated import vouched
from tests.packed import bundle_at, digest_of


@pytest.fixture
def key(tmp_path):
    """A private key in a file, and its public key in base64."""
    private = Ed25519PrivateKey.generate()
    path = tmp_path / "key.pem"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "key.pub").write_bytes(
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return path, base64.b64encode(private.public_key().public_bytes_raw()).decode()


@pytest.fixture
def folder(tmp_path):
    return bundle_at(tmp_path / "b")


def test_a_signed_bundle_is_trusted(folder, key, tmp_path):
    path, public = key
    assert sign(folder, digest_of(folder), path) == public
    assert signers(folder, digest_of(folder)) == [public]
    assert open_bundle(folder).digest == demand(folder, [public]) == digest_of(folder)
    assert demand(folder, [str(tmp_path / "key.pub")]) == digest_of(folder)


def test_openssl_makes_keys_that_fit(folder, tmp_path):
    path = tmp_path / "made.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(path)], check=True)
    subprocess.run(["openssl", "pkey", "-in", str(path), "-pubout", "-out", str(tmp_path / "made.pub")], check=True)
    sign(folder, digest_of(folder), path)
    assert demand(folder, [str(tmp_path / "made.pub")]) == digest_of(folder)


def test_who_is_not_trusted_is_not(folder, key):
    other = base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    with pytest.raises(UnsignedModel, match="is not signed; trusted are"):
        demand(folder, [other])
    sign(folder, digest_of(folder), key[0])
    with pytest.raises(UnsignedModel, match="is signed by"):
        demand(folder, [other])


def test_a_signature_is_of_one_bundle_only(folder, key, tmp_path):
    sign(folder, digest_of(folder), key[0])
    other = bundle_at(tmp_path / "other", factor=9)
    shutil.copy(folder / "signatures.json", other)
    with pytest.raises(UnsignedModel, match="is not signed"):
        demand(other, [key[1]])


def test_a_changed_file_is_found_though_the_signature_holds(folder, key):
    """The signature is of the manifest's digest; the files are held against the manifest as they are read."""
    sign(folder, digest_of(folder), key[0])
    (folder / "model.onnx").write_bytes(b"other bytes")
    assert demand(folder, [key[1]])
    with pytest.raises(DigestMismatch):
        open_bundle(folder)


def test_what_is_loaded_is_what_was_signed(folder, key, tmp_path):
    """A bundle that is exchanged after its signature was verified has another digest than the target then demands."""
    sign(folder, digest_of(folder), key[0])
    target = vouched(Target("scaler", "1", str(folder)), (key[1],))
    assert target.digest == digest_of(folder)
    with pytest.raises(DigestMismatch, match="registered was"):
        vouched(Target("scaler", "1", str(folder), "0" * 64), (key[1],))
    assert vouched(Target("scaler", "1", str(tmp_path / "any")), ()).digest is None


def test_a_bare_file_is_never_signed(folder, key):
    with pytest.raises(UnsignedModel, match="is no bundle"):
        demand(folder / "model.onnx", [key[1]])


def test_signatures_add_up(folder, key, tmp_path):
    sign(folder, digest_of(folder), key[0])
    copy = shutil.copytree(folder, tmp_path / "copy")
    second = tmp_path / "second.pem"
    second.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    sign(copy, digest_of(copy), second)
    join_signatures(folder, copy)
    assert len(signers(folder, digest_of(folder))) == 2


def test_the_registry_signs_and_remembers(folder, key, tmp_path):
    registry = Registry(tmp_path / "home", who="ada")
    registry.register(folder)
    assert registry.sign(Ref.parse("scaler"), key[0]) == key[1]
    event = registry.history("scaler")[-1]
    assert (event.kind, event.detail) == ("signed", {"key": key[1]})
    assert demand(registry.folder(registry.catalog().find(Ref.parse("scaler"))), [key[1]])


def test_a_signed_bundle_is_registered_with_its_signatures(folder, key, tmp_path):
    registry = Registry(tmp_path / "home")
    version = registry.register(folder)
    sign(folder, digest_of(folder), key[0])
    registry.register(folder)
    assert signers(registry.folder(version), version.digest) == [key[1]]


@pytest.mark.parametrize("content", [b"{", b'{"a": 1}', json.dumps({"AAAA": "BBBB", "%": "!"}).encode()])
def test_broken_signatures_are_no_signatures(folder, key, content):
    (folder / "signatures.json").write_bytes(content)
    with pytest.raises((BundleError, UnsignedModel)):
        demand(folder, [key[1]])


def test_other_keys_are_told_apart(folder, tmp_path):
    wrong = tmp_path / "x.pem"
    with pytest.raises(EnvironmentFault, match="cannot read the key"):
        sign(folder, "d", wrong)
    wrong.write_text("hello")
    with pytest.raises(UsageError, match="openssl genpkey -algorithm ed25519"):
        sign(folder, "d", wrong)
    wrong.write_bytes(X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(UsageError, match="expected an Ed25519 key"):
        sign(folder, "d", wrong)
    with pytest.raises(UsageError, match="expected 32 bytes in base64, or a PEM file"):
        public_key("AAAA")
