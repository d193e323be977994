"""The clients over TLS, with a certificate made for the test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from clients import make_server, open_client


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    files = str(folder / "certificate.pem"), str(folder / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-out", files[0], "-keyout", files[1], "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return files


@pytest.mark.parametrize("kind", ["http", "grpc"])
@pytest.mark.parametrize("client_kind", ["sync", "async"])
def test_tls_trusts_the_certificates_it_is_given(
    kind: str, client_kind: str, certificate: tuple[str, str]
) -> None:
    running = make_server(kind, tls=certificate)
    try:
        with open_client(client_kind, running.url, ca_file=Path(certificate[0])) as client:
            assert len(client.predict(["a"])) == 1
        with (
            open_client(client_kind, running.url) as client,
            pytest.raises(ConnectionError, match=r"(?i)certificate"),
        ):
            client.predict(["a"])
    finally:
        running.close()
