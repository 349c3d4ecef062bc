"""Whatever a client sends, the file server answers with a status that it documents (file-server §3)."""

import http.client
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from session_testnet.services.exchange import ServiceRequest
from session_testnet.services.files import FileServer
from session_testnet.topology_file_server import FilesSpec

SEED = bytes(range(32))
MAX_SIZE = 200
STATUSES = {200, 400, 401, 404, 405, 413, 425, 502}

PLACES = ["/file", "/files", "/file/{}", "/files/{}", "/file/{}/info", "/file/{}/extend", "/session_version"]
PLACES += ["/token_info", "/oxen/v4/lsrpc", "/{}", "/file/{}/{}", "{}"]
TRICKS = [
    "..",
    "../..",
    "%2e%2e",
    "..%2f..%2ffiles.sqlite",
    "%00",
    "-1",
    "0",
    "A" * 44,
    "a" * 45,
    "'; DROP",
    "",
]
METHODS = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "post", "X"]
TYPES = [
    "application/json",
    "application/octet-stream",
    "multipart/form-data; boundary=x",
    "text/plain",
    ";",
    "",
]
TYPES += [";", "", "application/x-www-form-urlencoded", "application/x+json; charset=latin-1"]

ids = st.sampled_from(TRICKS) | st.text(max_size=50)
targets = st.builds(
    lambda place, id_, query: place.replace("{}", id_) + query,
    st.sampled_from(PLACES),
    ids,
    st.sampled_from(["", "?", "?platform=desktop", "?platform=%ff", "?days=1e9"]) | st.text(max_size=20),
)
header_values = st.text(max_size=20) | st.integers().map(str)
headers = st.fixed_dictionaries(
    {},
    optional={
        "x-fs-ttl": header_values,
        "content-type": st.sampled_from(TYPES),
        "x-fs-pubkey": header_values | st.just("07" + "11" * 32),
        "x-fs-timestamp": header_values | st.just("1760000000"),
        "x-fs-signature": header_values | st.just("ab" * 64),
    },
)
json_bodies = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["file", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
).map(lambda value: json.dumps(value).encode())
bodies = st.binary(max_size=MAX_SIZE + 50) | json_bodies


@pytest.fixture(params=["numeric", "hash"])
def server(request, clock, trace, tmp_path):
    made = FileServer(
        SEED, clock=clock, trace=trace, directory=tmp_path, spec=FilesSpec(request.param, MAX_SIZE)
    )
    yield made
    made.close()


@pytest.fixture
def served(serve, clock, trace):
    return serve(FileServer(SEED, clock=clock, trace=trace, spec=FilesSpec(max_size=MAX_SIZE)))


def check(server, trace, tmp_path, request):
    outside = {path for path in tmp_path.parent.iterdir() if path != tmp_path}
    answer = server.handle(request).whole()
    assert answer.status in STATUSES, (request, answer)
    assert trace.events(kind="file_server_error") == []
    assert {path for path in tmp_path.parent.iterdir() if path != tmp_path} == outside
    return answer


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=st.sampled_from(METHODS), target=targets, headers=headers, body=bodies)
@example(method="POST", target="/file", headers={"x-fs-ttl": "٣"}, body=b"x")
@example(method="GET", target="/session_version?platform=desktop", headers={"x-fs-pubkey": "é"}, body=b"")
def test_any_request_is_answered_with_a_documented_status(
    server, trace, tmp_path, method, target, headers, body
):
    check(server, trace, tmp_path, ServiceRequest.from_target(method, target, headers, body))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ttl=header_values, body=st.binary(max_size=MAX_SIZE + 1))
def test_an_upload_is_stored_exactly_when_it_is_answered_200(server, trace, tmp_path, ttl, body):
    before = len(trace.events(kind="file_stored"))
    answer = check(
        server, trace, tmp_path, ServiceRequest.from_target("POST", "/file", {"x-fs-ttl": ttl}, body)
    )
    assert (len(trace.events(kind="file_stored")) == before + 1) == (answer.status == 200)
    assert answer.status == 413 if not 1 <= len(body) <= MAX_SIZE else answer.status in (200, 400)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=st.sampled_from(METHODS), target=targets, headers=headers, body=bodies)
def test_any_request_inside_an_onion_too(served, trace, method, target, headers, body):
    endpoint = "/" + target.lstrip("/")
    assert served.onion(method, endpoint, headers, body).status in STATUSES
    assert trace.events(kind="file_server_error") == []


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from([method for method in METHODS if method != "X"]),
    id_=st.sampled_from(TRICKS) | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=50),
    place=st.sampled_from([place for place in PLACES if place.startswith("/")]),
    body=bodies,
    ttl=st.integers().map(str) | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=9),
)
def test_any_request_over_a_socket_too(served, trace, method, id_, place, body, ttl):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    target = place.replace("{}", id_.replace(" ", "+"))
    connection.putrequest(method, target, skip_accept_encoding=True)
    connection.putheader("X-FS-TTL", ttl.encode("latin-1"))
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status in STATUSES
    assert trace.events(kind="file_server_error") == []
