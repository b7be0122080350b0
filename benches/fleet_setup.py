"""What both measurements with a simulated fleet begin with: the program, and a certificate that it takes for a server."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build():
    subprocess.run(["cargo", "build", "--release", "--bin", "imagedepot"], cwd=ROOT, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute() / "release" / "imagedepot"


def certificate_of_a_server(folder):
    """Makes a self-signed ECDSA P-256 certificate that is no authority's: rustls takes no other for a server."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE",
         "-days", "2", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )
    return certificate, key
