"""A server that demands signatures: what a trusted key signed is served, what none did is not."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from servable.bundles.signatures import sign
from tests.e2e.serving import Serving
from tests.packed import bundle_at, digest_of


def test_only_what_a_trusted_key_signed_is_served(tmp_path):
    private = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    trusted = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    bundle = bundle_at(tmp_path / "b")
    with Serving(tmp_path, bundle, workers=1, trusted_keys=trusted) as refused:
        assert refused.ended() != 0
        assert "is not signed; trusted are" in refused.log()
    sign(bundle, digest_of(bundle), tmp_path / "key.pem")
    with Serving(tmp_path, bundle, workers=1, trusted_keys=trusted).ready() as server:
        status, answer = server.ask("POST", "/v2/models/scaler/infer", {"rows": [{"x": [1.0, 2.0]}]})
        assert (status, answer["model_version"]) == (200, "1")
