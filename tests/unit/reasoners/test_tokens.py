"""Tokens of Entra ID and of Google, from loopback servers that answer in the vendors' shapes."""

from __future__ import annotations

import base64
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.reasoners import entra, google_tokens
from kaizen_security.reasoners.base import Outcome
from kaizen_security.reasoners.config import judge_from, read_config
from kaizen_security.reasoners.tokens import EARLY, REST, NoToken, Token, Tokens, granted
from tests.unit.reasoners.case_questions import asked

SECRET = "s3cret-of-the-client"


class Cloud:
    """A server that answers what it is told to, path by path, and remembers what it was asked."""

    def __init__(self):
        self.answers = {}
        self.asked = []
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                size = int(self.headers.get("Content-Length") or 0)
                cloud.asked.append((self.command, self.path, dict(self.headers), self.rfile.read(size).decode()))
                status, document = cloud.answers.get(urlsplit(self.path).path, (404, {}))
                data = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def form(self, number=-1):
        return {name: values[0] for name, values in parse_qs(self.asked[number][3]).items()}

    def headers(self, number=-1):
        return {name.lower(): value for name, value in self.asked[number][2].items()}


@pytest.fixture
def cloud():
    made = Cloud()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


def text_of(path):
    return Path(path).read_text()


def azure(cloud, **more):
    return {"AZURE_TENANT_ID": "tenant-1", "AZURE_CLIENT_ID": "app-1", "AZURE_AUTHORITY_HOST": cloud.url, **more}


ENTRA = {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": "eyJ0.entra.1"}
ENTRA_PATH = "/tenant-1/oauth2/v2.0/token"


def test_entra_by_a_clients_secret(cloud):
    cloud.answers[ENTRA_PATH] = (200, ENTRA)
    flow = entra.flow("auto", azure(cloud, AZURE_CLIENT_SECRET=SECRET), text_of)
    assert Tokens(flow, Clock()).get(30.0) == "eyJ0.entra.1"
    assert cloud.asked[0][0] == "POST"
    assert cloud.form() == {
        "grant_type": "client_credentials",
        "client_id": "app-1",
        "scope": "https://cognitiveservices.azure.com/.default",
        "client_secret": SECRET,
    }
    assert SECRET not in repr(flow)


def test_entra_by_a_federated_assertion_that_is_read_each_time(cloud, tmp_path):
    cloud.answers[ENTRA_PATH] = (200, ENTRA)
    file, clock = tmp_path / "federated", Clock()
    file.write_text("first.assertion\n")
    tokens = Tokens(entra.flow("workload", azure(cloud, AZURE_FEDERATED_TOKEN_FILE=str(file)), text_of), clock)
    tokens.get(30.0)
    assert cloud.form()["client_assertion"] == "first.assertion"
    assert cloud.form()["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert "client_secret" not in cloud.form()
    file.write_text("second.assertion")
    clock.now += 3600
    tokens.get(30.0)
    assert cloud.form()["client_assertion"] == "second.assertion"


def test_the_managed_identity_of_a_virtual_machine(cloud):
    said = {"access_token": "eyJ0.vm", "client_id": "", "expires_in": "86399", "token_type": "Bearer"}
    cloud.answers["/metadata/identity/oauth2/token"] = (200, said)
    flow = entra.flow("auto", {"AZURE_POD_IDENTITY_AUTHORITY_HOST": cloud.url, "AZURE_CLIENT_ID": "mine"}, text_of)
    assert Tokens(flow, Clock()).get(30.0) == "eyJ0.vm"
    assert cloud.asked[0][0] == "GET"
    assert cloud.headers()["metadata"] == "true"
    assert parse_qs(urlsplit(cloud.asked[0][1]).query) == {
        "api-version": ["2018-02-01"],
        "resource": ["https://cognitiveservices.azure.com"],
        "client_id": ["mine"],
    }
    assert entra.flow("managed", {}, text_of).places == ("http://169.254.169.254",)


def test_the_managed_identity_of_a_container_app(cloud):
    clock = Clock()
    said = {"access_token": "eyJ0.app", "expires_on": str(int(clock.now) + 1000), "token_type": "Bearer"}
    cloud.answers["/msi/token"] = (200, said)
    environment = {"IDENTITY_ENDPOINT": f"{cloud.url}/msi/token", "IDENTITY_HEADER": "header-secret"}
    flow = entra.flow("auto", environment, text_of)
    tokens = Tokens(flow, clock)
    assert tokens.get(30.0) == "eyJ0.app"
    assert cloud.headers()["x-identity-header"] == "header-secret"
    assert "api-version=2019-08-01" in cloud.asked[0][1]
    assert "header-secret" not in repr(flow)
    clock.now += 1000 - EARLY - 1
    tokens.get(30.0)
    assert tokens.acquired == 1
    clock.now += 2
    tokens.get(30.0)
    assert tokens.acquired == 2


@pytest.fixture(scope="module")
def signer():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def service_account(cloud, signer):
    pem = signer.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "key-7",
        "private_key": pem,
        "client_email": "kaizen@p.iam.gserviceaccount.com",
        "token_uri": f"{cloud.url}/token",
    }


GOOGLE = {"access_token": "ya29.google", "expires_in": 3599, "token_type": "Bearer"}


def unpacked(part):
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_google_by_a_service_accounts_key(cloud, signer, tmp_path):
    cloud.answers["/token"] = (200, GOOGLE)
    file = tmp_path / "account.json"
    file.write_text(json.dumps(service_account(cloud, signer)))
    flow = google_tokens.flow("auto", {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}, text_of)
    assert Tokens(flow, Clock()).get(30.0) == "ya29.google"
    assert cloud.form()["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    head, claims, signature = cloud.form()["assertion"].split(".")
    signer.public_key().verify(
        base64.urlsafe_b64decode(signature + "=="), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    assert unpacked(head) == {"alg": "RS256", "typ": "JWT", "kid": "key-7"}
    assert unpacked(claims) == {
        "iss": "kaizen@p.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": f"{cloud.url}/token",
        "iat": 1_000_000,
        "exp": 1_003_600,
    }
    assert "PRIVATE KEY" not in repr(flow)


def test_google_by_the_metadata_server(cloud):
    cloud.answers["/computeMetadata/v1/instance/service-accounts/default/token"] = (200, GOOGLE)
    flow = google_tokens.flow("auto", {"GCE_METADATA_HOST": cloud.url.removeprefix("http://")}, text_of)
    assert Tokens(flow, Clock()).get(30.0) == "ya29.google"
    assert cloud.headers()["metadata-flavor"] == "Google"
    assert google_tokens.flow("metadata", {}, text_of).places == ("http://metadata.google.internal",)


@pytest.mark.parametrize("json_subject", [False, True])
def test_google_by_another_providers_token(cloud, tmp_path, json_subject):
    cloud.answers["/v1/token"] = (200, {**GOOGLE, "access_token": "ya29.federated"})
    impersonated = "/v1/projects/-/serviceAccounts/k@p.iam.gserviceaccount.com:generateAccessToken"
    cloud.answers[impersonated] = (200, {"accessToken": "ya29.impersonated", "expireTime": "1970-01-12T14:46:40Z"})
    subject = tmp_path / "subject"
    subject.write_text(json.dumps({"token": "other.provider"}) if json_subject else "other.provider\n")
    shape = {"type": "json", "subject_token_field_name": "token"} if json_subject else {"type": "text"}
    document = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{cloud.url}/v1/token",
        "service_account_impersonation_url": cloud.url + impersonated,
        "credential_source": {"file": str(subject), "format": shape},
    }
    file = tmp_path / "external.json"
    file.write_text(json.dumps(document))
    clock = Clock()
    tokens = Tokens(google_tokens.flow("file", {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}, text_of), clock)
    assert tokens.get(30.0) == "ya29.impersonated"
    assert cloud.form(0)["subject_token"] == "other.provider"
    assert cloud.form(0)["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
    assert cloud.form(0)["audience"] == document["audience"]
    assert cloud.headers(1)["authorization"] == "Bearer ya29.federated"
    clock.now = 1_003_600.0 - EARLY + 1
    tokens.get(30.0)
    assert tokens.acquired == 2


class Given:
    """A flow without a network."""

    places = ("https://tokens.example",)

    def __init__(self):
        self.given = 0
        self.problem = None

    def steps(self, now):
        if self.problem is not None:
            raise self.problem
        self.given += 1
        return Token(value=f"t{self.given}", seconds=1000.0)
        yield


def test_a_token_is_kept_renewed_early_and_used_on_while_no_new_one_is_to_be_had():
    flow, clock = Given(), Clock()
    tokens = Tokens(flow, clock)
    assert [tokens.get(30.0) for _ in range(3)] == ["t1"] * 3
    clock.now += 1000 - EARLY
    assert tokens.get(30.0) == "t2"
    flow.problem = NoToken("the cloud is away")
    clock.now += 1000 - EARLY
    assert tokens.get(30.0) == "t2"
    clock.now += EARLY
    with pytest.raises(NoToken, match="the cloud is away"):
        tokens.get(30.0)
    flow.problem = None
    with pytest.raises(NoToken, match="a moment ago"):
        tokens.get(30.0)
    clock.now += REST
    assert tokens.get(30.0) == "t3"


def test_many_threads_cause_one_acquisition():
    flow = Given()
    tokens = Tokens(flow, Clock())
    found = []
    threads = [threading.Thread(target=lambda: found.append(tokens.get(60.0))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["t1"] * 16
    assert flow.given == 1


@pytest.mark.parametrize(
    ("status", "document", "said"),
    [
        (401, {"error": "invalid_client", "error_description": f"AADSTS7000215: {SECRET}"}, "401 (invalid_client)"),
        (400, {"error": f"made up {SECRET}"}, "answers 400"),
        (500, SECRET.encode(), "answers 500"),
        (302, {}, "answers 302"),
        (200, {"access_token": "two words", "expires_in": 10}, "access_token: is no token"),
        (200, {"access_token": f"x\n{SECRET}", "expires_in": 10}, "access_token: is no token"),
        (200, {"access_token": "t"}, "expires_in"),
        (200, {"access_token": "t", "expires_in": True}, "expires_in"),
        (200, {"access_token": "t", "expires_in": -1}, "expires_in"),
        (200, ["no", "object"], "cannot be used"),
        (200, b"<html>", "cannot be used"),
        (200, b"[" * 50_000, "cannot be used"),
    ],
)
def test_a_hostile_cloud_gives_no_token_and_puts_no_word_in_our_mouth(cloud, caplog, status, document, said):
    cloud.answers[ENTRA_PATH] = (status, document)
    tokens = Tokens(entra.flow("client", azure(cloud, AZURE_CLIENT_SECRET=SECRET), text_of), Clock())
    with caplog.at_level(logging.DEBUG), pytest.raises(NoToken) as found:
        tokens.get(30.0)
    assert said in str(found.value)
    assert SECRET not in str(found.value) + caplog.text


def test_nobody_there_is_no_token():
    flow = entra.Client(tenant="t", client_id="c", secret=SECRET, authority="http://127.0.0.1:9")
    with pytest.raises(NoToken):
        Tokens(flow, Clock()).get(30.0)


def test_a_lifetime_is_bounded_and_may_be_text():
    assert granted({"access_token": "t", "expires_in": "60"}).seconds == 60
    assert granted({"access_token": "t", "expires_in": 10**12}).seconds == 86_400
    with pytest.raises(InvalidInput):
        granted({"access_token": "t" * 20_000, "expires_in": 60})
    assert "hush" not in repr(granted({"access_token": "hush", "expires_in": 60}))


WHO = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"}


@pytest.mark.parametrize(
    ("kind", "environment", "said"),
    [
        ("client", {}, "AZURE_TENANT_ID"),
        ("client", WHO, "AZURE_CLIENT_SECRET"),
        ("workload", WHO, "AZURE_FEDERATED_TOKEN_FILE"),
        ("client", WHO | {"AZURE_TENANT_ID": "../x", "AZURE_CLIENT_SECRET": "s"}, "AZURE_TENANT_ID"),
        ("client", WHO | {"AZURE_CLIENT_SECRET": "s", "AZURE_AUTHORITY_HOST": "http://evil.example"}, "https"),
    ],
)
def test_what_is_missing_is_named(kind, environment, said):
    with pytest.raises(Misconfigured, match=said):
        entra.flow(kind, environment, text_of)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "authorized_user"}, "service_account or external_account"),
        ({"private_key": "none"}, "private_key"),
        ({"client_email": ""}, "client_email"),
        ({"token_uri": "http://evil.example/token"}, "https"),
    ],
)
def test_a_file_of_google_that_cannot_be_used(cloud, signer, tmp_path, change, said):
    file = tmp_path / "account.json"
    file.write_text(json.dumps(service_account(cloud, signer) | change))
    with pytest.raises(Misconfigured, match=said):
        google_tokens.flow("file", {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}, text_of)


def test_a_judge_asks_with_the_token_and_with_the_next_one_after_it(cloud, caplog):
    clock = Clock()
    cloud.answers[ENTRA_PATH] = (200, ENTRA)
    said = {"choices": [{"message": {"content": "MALICIOUS 0.9: The host is nobody's."}}], "usage": {}}
    cloud.answers["/openai/v1/chat/completions"] = (200, said)
    named = {"KZ_MODEL_BACKEND": "azure", "KZ_MODEL": "d", "KAIZEN_MODEL_URL": cloud.url}
    settings = {**named, "KAIZEN_MODEL_IDENTITY": "auto", **azure(cloud, AZURE_CLIENT_SECRET=SECRET)}
    configured = read_config(settings)
    judge = judge_from(configured, b"k" * 32, chance=lambda: 0.5, clock=clock)
    question = asked()
    with caplog.at_level(logging.DEBUG):
        assert judge.attempt(question, 30.0).outcome is Outcome.ANSWERED
        assert cloud.headers()["authorization"] == "Bearer eyJ0.entra.1"
        assert "api-key" not in cloud.headers()
        cloud.answers[ENTRA_PATH] = (200, {**ENTRA, "access_token": "eyJ0.entra.2"})
        clock.now += 3599
        judge.attempt(question, 30.0)
        assert cloud.headers()["authorization"] == "Bearer eyJ0.entra.2"
        cloud.answers[ENTRA_PATH] = (503, {})
        clock.now += 3599
        attempt = judge.attempt(question, 30.0)
    assert attempt.outcome is Outcome.FAILED
    assert "503" in attempt.problem
    for secret in (SECRET, "eyJ0"):
        assert secret not in caplog.text + attempt.problem + repr(configured)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"KZ_MODEL_BACKEND": "openai", "KAIZEN_MODEL_IDENTITY": "auto"}, "identity is for Azure"),
        ({"KZ_MODEL_BACKEND": "google", "KAIZEN_MODEL_IDENTITY": "auto"}, "identity is for Azure"),
        ({"KZ_MODEL_BACKEND": "azure", "KAIZEN_MODEL_IDENTITY": "wizard"}, "identity must be"),
        ({"KZ_MODEL_BACKEND": "azure", "KAIZEN_MODEL_IDENTITY": "managed", "KAIZEN_MODEL_KEY": "k"}, "which is meant"),
    ],
)
def test_an_identity_that_cannot_be_meant(named, said):
    with pytest.raises(Misconfigured, match=said):
        read_config({"KZ_MODEL": "m", "KAIZEN_MODEL_URL": "https://n.openai.azure.com", **named})
