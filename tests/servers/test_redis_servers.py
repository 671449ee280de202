"""Redis as a store over TLS, and in a cluster."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgeflow.errors import StoreUnavailable
from edgeflow_kv._urls import parse
from edgeflow_kv.redis import RedisKV
from edgeflow_kv.redis._kv import FORM
from edgeflow_kv.redis._link import Link
from tests.servers.redis import Redis, url
from tests.servers.redis_store import START, opened, texts
from tests.servers.server import LOOPBACK, PATIENCE, free_port, serving

if TYPE_CHECKING:
    from pathlib import Path


def certify(folder: Path) -> tuple[Path, Path]:
    """Make a key and a certificate of its own for loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    (folder / "key").write_bytes(
        key.private_bytes(pem, form, serialization.NoEncryption())
    )
    (folder / "certificate").write_bytes(made.public_bytes(pem))
    return folder / "key", folder / "certificate"


async def test_a_server_over_tls_is_known_by_its_certificate(tmp_path: Path) -> None:
    key, certificate = certify(tmp_path)
    port = free_port()
    settings = Redis(
        *("--tls-port", str(port)),
        *("--tls-key-file", str(key)),
        *("--tls-cert-file", str(certificate)),
        *("--tls-auth-clients", "no"),
    )
    address = f"rediss://{LOOPBACK}:{port}/0"
    with serving(settings):
        store = RedisKV.from_url(f"{address}?ssl_ca_certs={certificate}")
        await store.open()
        await store.commit("i", START)
        await store.close()

        with pytest.raises(StoreUnavailable, match="certificate"):
            await RedisKV.from_url(address).open()
        elsewhere = address.replace(LOOPBACK, "localhost")
        with pytest.raises(StoreUnavailable, match="certificate"):
            await RedisKV.from_url(f"{elsewhere}?ssl_ca_certs={certificate}").open()


async def test_in_a_cluster_the_node_that_has_the_slot_is_found() -> None:
    bus = free_port()
    one = Redis(
        *("--cluster-enabled", "yes", "--cluster-port", str(free_port())),
        *("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"),  # not asked
    )
    two = Redis("--cluster-enabled", "yes", "--cluster-port", str(bus))
    with serving(one) as first, serving(two) as second:
        asked, owner = [link(each.port) for each in (first, second)]
        await owner.call("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        meeting = ("CLUSTER", "MEET", LOOPBACK, str(second.port), str(bus))
        await asked.call(*meeting)
        for each in (asked, owner):
            await until_it_serves(each)

        store = await opened(first.port, "edgeflow")
        await store.commit("i", START)

        assert not store.limits.durable
        assert "a failover can take back" in texts(await store.examine(), "note")
        assert await owner.call("HLEN", "{edgeflow}:values") > 1
        await store.close()
        for each in (asked, owner):
            await each.close()


async def until_it_serves(node: Link) -> None:
    """Wait for what takes 2 s: a node that has begun does not trust itself at once."""
    deadline = time.monotonic() + PATIENCE
    while b"cluster_state:ok" not in await node.call("CLUSTER", "INFO"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def link(port: int) -> Link:
    return Link(parse(url(port), FORM), 5.0)
