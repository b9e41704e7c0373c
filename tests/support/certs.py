"""A certificate authority of the test's own, and certificates that it signed, in files of a temporary folder."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

# Fixed dates: the validity of a test's certificate needs no clock.
_FROM = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_UNTIL = datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _extended(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, issuer_key: ec.EllipticCurvePrivateKey,
              *, is_ca: bool) -> x509.CertificateBuilder:  # fmt: skip
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=is_ca, crl_sign=is_ca, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


class Authority:
    def __init__(self, folder: Path, name: str = "a test's own authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        builder = x509.CertificateBuilder().subject_name(self._name).issuer_name(self._name)
        builder = builder.public_key(self._key.public_key()).serial_number(1)
        builder = builder.not_valid_before(_FROM).not_valid_after(_UNTIL)
        cert = _extended(builder, self._key, self._key, is_ca=True).sign(self._key, hashes.SHA256())
        self.file = str(folder / f"ca-{id(self)}.pem")
        Path(self.file).write_bytes(cert.public_bytes(Encoding.PEM))

    def server(self, *names: str) -> ssl.SSLContext:
        """What a server of these names (or addresses) shows."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = []
        for name in names:
            try:
                alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                alternatives.append(x509.DNSName(name))
        builder = x509.CertificateBuilder().subject_name(_name(names[0])).issuer_name(self._name)
        builder = builder.public_key(key.public_key()).serial_number(2)
        builder = builder.not_valid_before(_FROM).not_valid_after(_UNTIL)
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        cert = _extended(builder, key, self._key, is_ca=False).sign(self._key, hashes.SHA256())
        path = self._folder / f"server-{id(key)}.pem"
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(pem + cert.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context
