"""Values in Confluent's wire format, with a registry, one that is unwell, and none."""

import gc
import http.server
import io
import json
import threading
import weakref
from pathlib import Path

import fastavro
import pytest

import uplift_records
from uplift_records.registry import check

HERE = Path(__file__).parent
GOLDEN = HERE.parents[1] / "src/test/resources/golden"
SCHEMAS = HERE.parents[1] / "src/main/resources/io/upliftstream/schemas/v2"
UNKNOWN = {"type": "record", "name": "R", "fields": [{"name": "more", "type": {"type": "nothing"}}]}
NAMES = sorted(file.stem for file in GOLDEN.glob("*.avro"))


def single(name: str) -> bytes:
    return (GOLDEN / f"{name}.avro").read_bytes()


def framed(name: str, schema_id: int = 7) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big") + single(name)[10:]


@pytest.fixture
def server():
    class Handler(http.server.BaseHTTPRequestHandler):
        status, body, asked = 200, b"", []

        def do_GET(self):
            Handler.asked.append((self.path, self.headers.get("Authorization")))
            self.send_response(Handler.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(Handler.body)

        def log_message(self, *_):
            pass

    Handler.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        Handler.url = f"http://127.0.0.1:{running.server_port}"
        yield Handler
        running.shutdown()


@pytest.mark.parametrize("name", NAMES)
def test_every_record_is_read_without_a_registry(name):
    assert uplift_records.read(framed(name)) == uplift_records.read(single(name))
    # Two bytes: a record that lacks the last one may be whole in the schema before, with the same fields.
    for bad in framed(name)[:-2], framed(name) + b"\0", b"\1" + framed(name)[1:]:
        with pytest.raises(ValueError, match=r"\(expected: "):
            uplift_records.read(bad)


def test_a_later_schema_is_read_with_a_registry(server):
    schema = json.loads((SCHEMAS / "CameraFrame.avsc").read_text())
    schema["fields"].insert(0, {"name": "lens", "type": "string"})
    record = dict(uplift_records.read(single("camera-frame")), lens="wide")
    value = io.BytesIO()
    value.write(b"\0\0\0\0\7")
    fastavro.schemaless_writer(value, fastavro.parse_schema(schema), record)
    server.body = json.dumps({"schema": json.dumps(schema)}).encode()
    registry = uplift_records.Registry(server.url + "/", {"Authorization": "Bearer hush"})
    for _ in range(2):
        assert uplift_records.read(value.getvalue(), registry) == uplift_records.read(single("camera-frame"))
    assert server.asked == [("/schemas/ids/7", "Bearer hush")]
    with pytest.raises(ValueError, match="schema id 7, that are of no published schema"):
        uplift_records.read(value.getvalue())


def test_a_later_schema_may_say_more_of_its_types():
    schema = json.loads((SCHEMAS / "CameraFrame.avsc").read_text())
    for field in schema["fields"]:
        if field["name"] == "captureTimeMicros":
            assert field["type"] == "long"
            field["type"] = {"type": "long", "logicalType": "timestamp-micros"}
    assert uplift_records.read(framed("camera-frame"), lambda _: schema) == uplift_records.read(
        single("camera-frame")
    )


@pytest.mark.parametrize("status, may_pass", [(302, False), (401, True), (404, False), (500, True)])
def test_a_registry_that_is_unwell(server, status, may_pass):
    server.status = status
    registry = uplift_records.Registry(server.url)
    for _ in range(2):
        with pytest.raises(
            ValueError, match=rf"schema id 7: HTTP {status} from .* \(expected: an Avro schema"
        ) as failed:
            uplift_records.read(framed("dropped"), registry)
        assert isinstance(failed.value.__cause__, OSError) == may_pass
    assert len(server.asked) == 1


def test_a_failure_that_is_remembered_keeps_nobody():
    registry = uplift_records.Registry("http://127.0.0.1:1")

    class Frame:
        pass

    def ask():
        frame = Frame()
        with pytest.raises(ValueError, match="schema id 7: ") as failed:
            registry(7)
        assert isinstance(failed.value.__cause__, OSError)
        return weakref.ref(frame), len(failed.traceback)

    asked = [ask() for _ in range(3)]
    gc.collect()
    assert [frame() for frame, _ in asked] == [None] * 3
    assert len({frames for _, frames in asked}) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"schema": "x"}', b'{"schema": "1", "schemaType": "JSON"}', b" " * 2_000_000]
    + [
        json.dumps({"schema": json.dumps(schema)}).encode()
        for schema in ("int", {}, [], {"type": "record"}, UNKNOWN)
    ],
)
def test_what_is_no_schema(server, body):
    server.body = body
    with pytest.raises(ValueError, match=r"\(expected: "):
        uplift_records.read(framed("dropped"), uplift_records.Registry(server.url))


def test_the_schema_of_something_else(server):
    server.body = json.dumps({"schema": (SCHEMAS / "FrameFailure.avsc").read_text()}).encode()
    with pytest.raises(ValueError, match=r"\(expected: "):
        uplift_records.read(framed("dropped"), uplift_records.Registry(server.url))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": "null"},
        {"type": "array", "items": {"type": "record", "name": "R", "fields": []}},
        {"type": "map", "values": {"type": "fixed", "name": "F", "size": 0}},
        {"type": "record", "name": "a.R", "fields": [{"name": "r", "type": ["null", "R"]}]},
        {
            "type": "record",
            "name": "a.X",
            "fields": [
                {
                    "name": "f",
                    "type": {"type": "record", "name": "b.X", "fields": [{"name": "i", "type": "int"}]},
                },
                {"name": "g", "type": ["null", "a.X"]},
            ],
        },
        {"type": "array", "items": {"type": "error", "name": "E", "fields": []}},
        {"type": "error", "name": "E", "fields": [{"name": "e", "type": ["null", "E"]}]},
        "nothing.Known",
        "array",
        [
            {"type": "record", "name": "array", "fields": [{"name": "i", "type": "int"}]},
            {"type": "array", "items": "null"},
        ],
    ],
)
def test_schemas_that_make_much_of_nothing(schema):
    with pytest.raises(ValueError, match=r"\(expected: "):
        check({"type": "record", "name": "CameraFrame", "fields": [{"name": "more", "type": schema}]})


@pytest.mark.parametrize("file", sorted(SCHEMAS.glob("*.avsc")), ids=lambda file: file.stem)
def test_published_schemas_are_fine(file):
    check(json.loads(file.read_text()))
