"""The writer's schemas of values in Confluent's wire format, from a schema registry."""

import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any, NamedTuple

_MAX_ANSWER = 1 << 20  # bytes
_MAX_TYPES = 2000  # of a schema; a named type counts wherever it is used
_MAX_DEPTH = 32
_PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
_MAX_IDS = 1000
_REMEMBERED = 10  # seconds that a failure is remembered for


class _Stay(urllib.request.HTTPRedirectHandler):
    """No redirect is followed: nobody but the host of the URL is asked."""

    def redirect_request(self, *_: Any) -> None:
        return None


class _Failure(NamedTuple):
    """What is raised anew each time: an exception that was raised keeps whatever its callers held."""

    message: str
    cause: OSError | None


def _may_pass(problem: Exception) -> bool:
    """Whether another try may help: nobody answered, or one who is unwell or refuses the password."""
    code = getattr(problem, "code", 500)
    away = isinstance(problem, (OSError, http.client.HTTPException))
    return away and (code in (401, 403, 429) or code >= 500)


class Registry:
    """Asks a schema registry with Confluent's interface for each schema once.

    `url` is what the paths of the interface, such as /schemas, are put behind; `headers` may hold an
    Authorization; `timeout`, in seconds, is that of each wait for bytes of the answer.
    """

    def __init__(self, url: str, headers: dict[str, str] | None = None, timeout: float = 5) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"registry: {url} (expected: a URL of http or https)")
        self._url = url.rstrip("/")
        self._headers = headers or {}
        self._timeout = timeout
        self._known: dict[int, tuple[float, Any]] = {}
        self._opener = urllib.request.build_opener(_Stay)

    def __call__(self, schema_id: int) -> Any:
        """The schema of an id, as of JSON.

        ValueError: the registry does not have it; or does not answer, and then an OSError is its cause.
        """
        asked, found = self._known.get(schema_id, (0, None))
        if found is None or (isinstance(found, _Failure) and time.monotonic() - asked > _REMEMBERED):
            try:
                found = self._ask(schema_id)
            except Exception as problem:  # what is no answer of a registry makes urllib and json raise a lot
                said = f"HTTP {problem.code}" if isinstance(problem, urllib.error.HTTPError) else f"{problem}"
                found = _Failure(
                    f"schema id {schema_id}: {said[:200]} from {self._url} "
                    "(expected: an Avro schema that is registered there)",
                    OSError(said[:200]) if _may_pass(problem) else None,
                )
            if len(self._known) >= _MAX_IDS:
                self._known.pop(next(iter(self._known)))
            self._known[schema_id] = (time.monotonic(), found)
        if isinstance(found, _Failure):
            raise ValueError(found.message) from found.cause
        return found

    def _ask(self, schema_id: int) -> Any:
        request = urllib.request.Request(f"{self._url}/schemas/ids/{schema_id}", headers=self._headers)
        with self._opener.open(request, timeout=self._timeout) as answer:
            body = answer.read(_MAX_ANSWER + 1)
        if len(body) > _MAX_ANSWER:
            raise ValueError(f"more than {_MAX_ANSWER} bytes")
        found = json.loads(body)
        if found.get("schemaType", "AVRO") != "AVRO" or found.get("references"):
            raise ValueError(f"{found.get('schemaType', 'AVRO')} with references {found.get('references')}")
        return json.loads(found["schema"])


def check(schema: Any) -> None:
    """Refuses a schema whose records could ask for more work than they have bytes, with ValueError.

    Each type takes at least a byte, and none holds itself.
    """
    types = 0
    named: dict[str, Any] = {}

    def full(name: str, namespace: str) -> str:
        return name if "." in name or not namespace else f"{namespace}.{name}"

    def visit(node: Any, namespace: str, within: tuple[int, ...], optional: bool = False) -> None:
        nonlocal types
        types += 1
        if types > _MAX_TYPES or len(within) > _MAX_DEPTH:
            raise ValueError("writer's schema: it goes on and on (expected: a small one)")
        if isinstance(node, list):
            for branch in node:
                visit(branch, namespace, within, optional=True)
            return
        kind = node.get("type") if isinstance(node, dict) else node
        if isinstance(kind, (dict, list)):
            visit(kind, namespace, within)
            return
        if isinstance(node, dict) and kind in ("record", "error", "enum", "fixed"):
            name = full(str(node["name"]), str(node.get("namespace", namespace)))
            namespace = name.rpartition(".")[0]
            named[name] = node, kind, namespace
        elif not (kind in _PRIMITIVES or (isinstance(node, dict) and kind in ("array", "map"))):
            found = named.get(full(str(kind), namespace))
            if found is None:
                raise ValueError(f"writer's schema: type {kind!r} (expected: one that Avro has)")
            node, kind, namespace = found
        if kind == "array" or kind == "map":
            visit(node["items" if kind == "array" else "values"], namespace, (*within, id(node)))
        elif kind == "record" or kind == "error":
            if id(node) in within or not node["fields"]:
                raise ValueError(
                    "writer's schema: a record that is empty or holds itself (expected: neither)"
                )
            for field in node["fields"]:
                visit(field["type"], namespace, (*within, id(node)))
        elif (kind == "null" and not optional) or (kind == "fixed" and not node["size"]):
            raise ValueError("writer's schema: a type of no bytes (expected: only null, and in a union)")

    visit(schema, "", ())
