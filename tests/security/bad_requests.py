"""Bad requests as a table: each with the code, the field and the beginning of the value that the response states."""

from typing import Any, NamedTuple

from tests.security.worlds import CONTENT, MODEL, SHA256

ONE, TWO = (f"/v1/models/{MODEL}/versions/{number}" for number in (1, 2))
HOME = f"/v1/models/{MODEL}"
ALIASES = f"{HOME}/aliases"
ENTRY = {"path": "model.bin", "size": len(CONTENT), "sha256": SHA256}
HUGE = "9" * 5_000


class Bad(NamedTuple):
    """One bad request and the expected refusal; `value` is None if the refusal contains no value."""

    what: str
    method: str
    target: str
    code: str
    field: str | None
    value: str | None
    body: Any = None
    headers: dict[str, Any] | None = None


def _model(what: str, code: str, field: str, value: str | None, body: Any = None, **headers: Any) -> Bad:
    """Build a bad request to create a model; `body` and `headers` replace parts of a good request."""
    body = body if isinstance(body, bytes | list | str) else {"name": "new", "type": "regression"} | (body or {})
    named = {name.replace("_", "-"): header for name, header in headers.items()}
    return Bad(what, "POST", "/v1/models", code, field, value, body, named)


def _json(what: str, value: str, body: bytes) -> Bad:
    return _model(what, "invalid_json", "body", value, body.replace(b"NEW", b'"name":"new","type":"regression"'))


def _media(what: str, value: str, field: str = "Content-Type", **headers: Any) -> Bad:
    return _model(what, "unsupported_media_type", field, value, **headers)


def _key(what: str, key: Any, value: str) -> Bad:
    return _model(what, "invalid_idempotency_key", "Idempotency-Key", value, idempotency_key=key)


def _metadata(what: str, code: str, field: str, value: str | None, metadata: bytes) -> Bad:
    return _model(what, code, field, value, b'{"name":"new","type":"regression","metadata":%s}' % metadata)


def _version(what: str, code: str, field: str, value: str | None, **change: Any) -> Bad:
    body = {"files": [ENTRY], "framework": "test"} | change
    return Bad(what, "POST", f"/v1/models/{MODEL}/versions", code, field, value, body)


def _file(what: str, code: str, field: str, value: str, **change: Any) -> Bad:
    return _version(what, code, field, value, files=[ENTRY | change])


def _alias(version: str, value: str, code: str = "invalid_request") -> Bad:
    body = f'{{"version":{version}}}'.encode()
    return Bad(f"version {version[:25]}", "PUT", f"{ALIASES}/champion", code, "version", value, body)


def _principal(what: str, field: str, value: str | None, *grants: dict[str, Any]) -> Bad:
    body = {"name": "new", "kind": "human", "grants": [{"role": "admin", "models": "*"}, *grants]}
    return Bad(what, "POST", "/v1/principals", "invalid_request", field, value, body)


def _days(text: str, value: str) -> Bad:
    body = f'{{"valid_days":{text}}}'.encode()
    return Bad(f"{text} days", "POST", "/v1/principals/admin/tokens", "invalid_request", "valid_days", value, body)


def _query(query: str, field: str, value: str, code: str = "invalid_request", of: str = "/v1/models") -> Bad:
    return Bad(f"{of}?{query}"[:60], "GET", f"{of}?{query}", code, field, value)


WORK = {"days": ["monday"], "since": "09:00", "until": "17:00"}


def _policy(what: str, field: str, value: str, **rules: Any) -> Bad:
    """Build a request for a policy that no version can meet."""
    target = f"/v1/models/{MODEL}/policy"
    return Bad(what, "PUT", target, "invalid_policy", f"rules.{field}", value, {"rules": rules, "reason": "x"})


def _move(what: str, target: str, code: str, field: str, value: str, **body: str) -> Bad:
    return Bad(what, "POST", target, code, field, value, body)


# One line for each request, so that the columns of the table can be compared.
# fmt: off
FIELDS = [
    _model("an unknown field", "invalid_request", "source", "file:///etc/", {"source": "file:///etc/"}),
    _model("a field that is missing", "invalid_request", "name", None, b'{"type":"regression"}'),
    _model("a number for a text", "invalid_request", "name", "7", {"name": 7}),
    _model("true for a text", "invalid_request", "name", "true", {"name": True}),
    _model("null for a text", "invalid_request", "name", "null", {"name": None}),
    _model("a list for a text", "invalid_request", "description", '["a"]', {"description": ["a"]}),
    _model("a number as a tag", "invalid_request", "tags.b", "7", {"tags": {"a": "x", "b": 7}}),
    _model("a list as metadata", "invalid_request", "metadata.b", "[1]", {"metadata": {"a": 1, "b": [1]}}),
    _model("a text for an object", "invalid_request", "tags", "a=b", {"tags": "a=b"}),
    _model("an invalid type", "invalid_request", "type", "nope", {"type": "nope"}),
    _model("an upper-case type", "invalid_request", "type", "Regression", {"type": "Regression"}),
    _model("an array", "invalid_request", "body", "[1]", b"[1]"),
    _model("a text", "invalid_request", "body", "x", b'"x"'),
    _model("null", "invalid_request", "body", "null", b"null"),
    _metadata("1e400", "invalid_request", "metadata.a", "1e400", b'{"a":1e400}'),
    _metadata("5,000 digits", "invalid_request", "metadata.b", "999", b'{"a":1,"b":%s}' % HUGE.encode()),
    _metadata("depth 40", "invalid_request", "metadata.a", "[[[", b'{"a":%s}' % (b"[" * 40 + b"]" * 40)),
    _metadata("depth 100,000 inside", "invalid_request", "metadata[...]", None, b'{"a":%s' % (b"[" * 100_000)),
    _model("depth 100,000", "invalid_request", "body", "[[[", b"[" * 100_000),
    _model("10,000 tags", "too_many_entries", "tags", "10000", {"tags": {f"t{n}": "" for n in range(10_000)}}),
    _model("10,000 facts", "too_many_entries", "metadata", "10000", {"metadata": {f"t{n}": 1 for n in range(10_000)}}),
    _model("a name of 129 letters", "invalid_request", "name", "aaa", {"name": "a" * 129}),
    _model("a name with a slash", "invalid_request", "name", "../x", {"name": "../x"}),
    _model("a name with two dots", "invalid_name", "name", "a..b", {"name": "a..b"}),
    _model("a Windows device name", "reserved_name", "name", "CON", {"name": "CON"}),
    _model("a name that differs only by capitals", "model_exists", "name", MODEL.upper(), {"name": MODEL.upper()}),
    _model("a tag that is too long", "invalid_tag", "tags.a", "xxx", {"tags": {"a": "x" * 257}}),
    _model("a description that is too long", "invalid_request", "description", "xxx", {"description": "x" * 10_001}),
    _model("metadata that are too long", "text_too_long", "metadata.a", "xxx", {"metadata": {"a": "x" * 1_001}}),
    _principal("a nested unknown field", "grants[1].x", "1", {"role": "admin", "models": "*", "x": 1}),
    _principal("an invalid role", "grants[1].role", "king", {"role": "king"}),
    _principal("a grant without models", "grants[1].models", None, {"role": "admin"}),
    _principal("an invalid pattern", "grants[1].models", "*-fx", {"role": "admin", "models": "*-fx"}),
    _principal("101 grants", "grants", "101", *[{"role": "admin", "models": "*"}] * 100),
    *(_days(text, text.strip('"')) for text in ('"7"', "true", "7.0", "7e0", "0", "-1", "3651", "null", "[]")),
    Bad("a fixed field of a model", "PATCH", f"/v1/models/{MODEL}", "invalid_request", "name", "x", {"name": "x"}),
    Bad("a fixed field of a version", "PATCH", ONE, "invalid_request", "framework", "x", {"framework": "x"}),
    _version("no files", "invalid_manifest", "files", "0", files=[]),
    _version("files that are a text", "invalid_request", "files", "model.bin", files="model.bin"),
    _version("no framework", "invalid_request", "framework", "", framework=""),
    _version("text as a metric", "invalid_request", "metrics.auc", "0.5", metrics={"f1": 1, "auc": "0.5"}),
    _version("true as a metric", "invalid_request", "metrics.auc", "true", metrics={"f1": 1, "auc": True}),
    _version("null as a metric", "invalid_request", "metrics.auc", "null", metrics={"f1": 1, "auc": None}),
    _version("400 digits as a metric", "invalid_request", "metrics.auc", "1000", metrics={"f1": 1, "auc": 10**399}),
    _version("an unknown origin", "invalid_request", "lineage.source", "s3://", lineage={"source": "s3://b"}),
    _version("a duplicate path", "invalid_manifest", "path", "a", files=[ENTRY | {"path": "a"}, ENTRY | {"path": "A"}]),
    _file("text for a size", "invalid_request", "files[0].size", "7", size="7"),
    _file("a size below zero", "invalid_request", "files[0].size", "-1", size=-1),
    _file("a size beyond a double", "invalid_request", "files[0].size", str(2**53), size=2**53),
    _file("another size", "invalid_manifest", "size", "8", size=8),
    _file("an upper-case digest", "invalid_request", "files[0].sha256", SHA256.upper(), sha256=SHA256.upper()),
    _file("missing bytes", "blob_missing", "sha256", "0000", sha256="0" * 64),
    _file("a path with ..", "invalid_path", "path", "../x", path="../x"),
    _file("a header as a type", "invalid_request", "files[0].media_type", "a/b\r\nX", media_type="a/b\r\nX: y"),
    _file("an address of bytes", "invalid_request", "files[0].source", "http://", source="http://169.254.169.254/"),
    *(_alias(text, text) for text in ("0", "-1", str(2**31), str(2**63), "1.0", "true", "null")),
    _alias('"1"', "1"),
    _alias("1" + "0" * 5_000, "1000"),
    _alias("7", "7", "version_not_found"),
]
BODIES = [
    _json("an empty body", "", b""),
    _json("only spaces", "  ", b"  "),
    _json("half an object", '{"name":', b'{"name":'),
    _json("two values", "}", b"{NEW}{}"),
    _json("an extra comma", "}", b"{NEW,}"),
    _json("single quotes", "'", b"{'name':'new'}"),
    _json("a comment", "/", b'{"name":"new"/* */}'),
    _json("NaN", "NaN", b'{NEW,"metadata":{"a":NaN}}'),
    _json("-Infinity", "Infinity", b'{NEW,"metadata":{"a":-Infinity}}'),
    _json("invalid UTF-8", "\\xff", b'{"name":"\xff","type":"regression"}'),
    _json("a byte order mark", "\ufeff{", b"\xef\xbb\xbf{NEW}"),
    _json("UTF-16", "\\xff\\xfe", '{"name":"new","type":"regression"}'.encode("utf-16")),
    _json("UTF-32", "\x00\x00", '{"name":"new","type":"regression"}'.encode("utf-32-le")),
    _json("a lone surrogate", "\\ud800", b'{NEW,"description":"\\ud800"}'),
    _json("a lone surrogate in a key", "\\udc00", b'{NEW,"tags":{"\\udc00":""}}'),
    _json("a raw line break in a text", "\n", b'{NEW,"description":"a\nb"}'),
    _json("a duplicate key", "name", b'{NEW,"name":"other"}'),
    _json("a nested duplicate", "a", b'{NEW,"tags":{"a":"1","a":"1"}}'),
    _json("a key in two spellings", "name", b'{NEW,"n\\u0061me":"x"}'),
    _model("1 MiB + 1 byte", "too_large", "body", "1048577", b" " * (2**20 + 1)),
    _media("text/plain", "text/plain", content_type="text/plain"),
    _media("no content type", "", content_type=None),
    _media("a form", "multipart/", content_type="multipart/form-data; boundary=x"),
    _media("latin-1", "application/", content_type="application/json; charset=latin-1"),
    _media("a script", "<script>", content_type="<script>alert(1)</script>"),
    _media("gzip", "gzip", "Content-Encoding", content_encoding="gzip"),
]
KEYS = [
    _model("no key", "idempotency_key_required", "Idempotency-Key", None, idempotency_key=None),
    _key("an empty key", "", ""),
    _key("a short key", "short", "short"),
    _key("a long key", "x" * 129, "xxx"),
    _key("a key of symbols", "a'; drop table models", "a'; drop"),
    _key("a non-ASCII key", b"\xff" * 8, "ÿÿÿ"),
]
MOVES = [
    _move("development to production", f"{ONE}/transition", "illegal_transition", "to", "production", to="production",
          reason="x"),
    _move("to its own stage", f"{TWO}/transition", "illegal_transition", "to", "staging", to="staging", reason="x"),
    _move("back to development", f"{TWO}/transition", "illegal_transition", "to", "development", to="development",
          reason="x"),
    _move("to an unknown stage", f"{TWO}/transition", "invalid_request", "to", "limbo", to="limbo"),
    _move("without a reason", f"{TWO}/transition", "reason_required", "reason", "", to="production"),
    _move("with a blank reason", f"{TWO}/tombstone", "reason_required", "reason", " \n", reason=" \n"),
    _move("of an aliased version", f"{ONE}/tombstone", "version_aliased", "version", "1", reason="gone"),
    _move("a missing version", f"{ONE}1/tombstone", "version_not_found", "version", "11", reason="gone"),
    _move("forced without a reason", f"{ONE}/transition", "reason_required", "reason", "", to="staging"),
    _move("recalled without a reason", f"{ONE}/recall", "reason_required", "reason", "", reason=""),
    _move("reinstated without a reason", f"{ONE}/reinstate", "reason_required", "reason", "", reason=""),
    _move("reinstated without a recall", f"{ONE}/reinstate", "illegal_transition", "version", "1", reason="x"),
    _move("rolled back without a reason", f"/v1/models/{MODEL}/rollback", "reason_required", "reason", "", reason=""),
    _move("without a target", f"/v1/models/{MODEL}/rollback", "nothing_to_return_to", "name", MODEL, reason="x"),
    Bad("not in production", "POST", f"{TWO}/transition", "production_changed", "replacing", "1",
        {"to": "production", "reason": "x", "replacing": 1}, {"if-match": '"2"'}),
    Bad("from a missing version", "POST", f"/v1/models/{MODEL}/rollback", "production_changed", "replacing", "1",
        {"reason": "x", "replacing": 1}, {"if-match": None}),
    _move("approved by its author", f"{TWO}/approvals", "self_approval", "version", "2", verdict="approved",
          reason="x"),
    _move("an invalid verdict", f"{TWO}/approvals", "invalid_request", "verdict", "maybe", verdict="maybe", reason="x"),
    _move("a missing token", f"/v1/tokens/{'0' * 16}/revoke", "token_not_found", "id", "0000"),
    Bad("a version changed by force", "PATCH", ONE, "reason_required", "reason", "", {"tags": {}}),
    Bad("a model changed by force", "PATCH", f"/v1/models/{MODEL}", "reason_required", "reason", " ",
        {"tags": {}, "reason": " "}),
    Bad("an alias moved by force", "PUT", f"{ALIASES}/shadow", "reason_required", "reason", "", {"version": 1}),
    Bad("an alias deleted by force", "DELETE", f"{ALIASES}/shadow", "reason_required", "reason", ""),
    Bad("grants changed by force", "PATCH", "/v1/principals/admin", "reason_required", "reason", "", {"grants": []}),
    *(Bad(f"a colour as the reason of {target}", method, target, "invalid_text", "reason", "\x1b", body,
          {"if-match": None, "if-none-match": "*"} if target.endswith("new") else None)
      for method, target, body in (
          ("PUT", f"{ALIASES}/new", {"version": 1, "reason": "\x1b[31m"}),
          ("PUT", f"{ALIASES}/shadow", {"version": 2, "reason": "\x1b[31m"}),
          ("DELETE", f"{ALIASES}/shadow?reason=%1b", None),
          ("PATCH", ONE, {"description": "x", "reason": "\x1b[31m"}),
          ("PATCH", f"/v1/models/{MODEL}", {"description": "x", "reason": "\x1b[31m"}),
          ("POST", f"{TWO}/tombstone", {"reason": "\x1b[31m"}),
          ("POST", f"{ONE}/recall", {"reason": "\x1b[31m"}),
          ("POST", f"{ONE}/transition", {"to": "staging", "reason": "\x1b[31m"}),
          ("PUT", f"/v1/models/{MODEL}/policy", {"rules": {"approvals": 1}, "reason": "\x1b[31m"}),
      )),
    *(Bad(f"an invisible reason {reason!a}", "PATCH", ONE, "reason_required", "reason", reason,
          {"description": "x", "reason": reason})
      for reason in ("\u200b", " \u2060\ufeff", "\u00ad", "\u3164", "\u2800", "\ufe0f")),
    Bad("a reason that is not UTF-8", "DELETE", f"{ALIASES}/shadow?reason=%ff", "invalid_request", "query", "\xff"),
    Bad("an alias with both conditions", "PUT", f"{ALIASES}/new", "invalid_if_match", "If-Match", "*", {"version": 1},
        {"if-none-match": "*"}),
    Bad("a rollback, other revision", "POST", f"/v1/models/{MODEL}/rollback", "revision_mismatch", "If-Match", '"9"',
        {"reason": "x"}, {"if-match": '"9"'}),
    _move("override in a transition to archived", f"{TWO}/transition", "invalid_request", "override", "true",
          to="archived", reason="x", override=True),
    _move("replacing in a transition to archived", f"{TWO}/transition", "invalid_request", "replacing", "1",
          to="archived", reason="x", replacing=1),
    Bad("an alias that exists", "PUT", f"{ALIASES}/shadow", "alias_exists", "alias", "shadow",
        {"version": 1}, {"if-none-match": "*", "if-match": None}),
    Bad("a reserved alias", "PUT", f"{ALIASES}/latest", "reserved_name", "alias", "latest", {"version": 1}),
    Bad("a missing alias", "DELETE", f"{ALIASES}/absent", "alias_not_found", "alias", "absent"),
    Bad("a principal that exists", "POST", "/v1/principals", "principal_exists", "name", "admin",
        {"name": "admin", "kind": "human", "grants": []}),
]
POLICIES = [
    _policy("a metric that no version has", "metrics[0].metric", "auc",
            metrics=[{"metric": "auc", "direction": "at_least", "than": 0.5}]),
    _policy("an invalid zone", "windows.zone", "Europe/Atlantis",
            windows={"zone": "Europe/Atlantis", "hours": [WORK]}),
    _policy("a window without hours", "windows.hours", "none", windows={"zone": "UTC", "hours": []}),
    _policy("hours without days", "windows.hours[0]", "no day 09:00-17:00",
            windows={"zone": "UTC", "hours": [WORK | {"days": []}]}),
    _policy("hours that end before they begin", "windows.hours[1]", "monday 09:00-09:00",
            windows={"zone": "UTC", "hours": [WORK, WORK | {"until": "09:00"}]}),
    _policy("an invalid date", "windows.closed[0]", "2026-02-30",
            windows={"zone": "UTC", "hours": [WORK], "closed": ["2026-02-30"]}),
    _policy("an invalid path", "files[1]", "../*", files=["*.md", "../*"]),
    *(Bad(f"{field} {value}", "PUT", f"/v1/models/{MODEL}/policy", "invalid_request", f"rules.{field}", str(value),
          {"rules": {field: value}, "reason": "x"})
      for field, value in (("approvals", -1), ("approvals", 17), ("signature", 1), ("on_recall", "ignore"), ("x", 1))),
    Bad("a policy without a reason", "PUT", f"/v1/models/{MODEL}/policy", "reason_required", "reason", "",
        {"rules": {"approvals": 1}, "reason": ""}),
]
LISTS = [
    *(_query(f"limit={n}", "limit", n) for n in ("0", "-1", "1001", str(10**9), str(2**63), "x", "", "1_0", "NaN")),
    *(_query("limit=0", "limit", "0", of=f"/v1/{resource}") for resource in ("principals", "tokens", "events")),
    *(_query(f"after={after}", "after", after, of="/v1/events") for after in ("-1", str(2**63), "x")),
    _query("limit=%EF%BC%91", "limit", "\N{FULLWIDTH DIGIT ONE}"),
    _query(f"limit={HUGE}", "limit", "999"),
    _query("limit=1&limit=2", "limit", "2"),
    _query("order=name%3Bdrop%20table%20models", "order", "name;drop table models"),
    _query("order=name,type", "order", "name,type"),
    _query("order=version", "order", "version"),
    _query("order=name", "order", "name", of=f"/v1/models/{MODEL}/versions"),
    _query("order_by=name", "query", "order_by"),
    _query("offset=1000000000000", "query", "offset"),
    _query("owners=me", "query", "owners"),
    _query("request=1", "query", "request"),
    _query("name=x", "query", "name", of=f"/v1/models/{MODEL}/versions"),
    _query("x=1", "query", "x", of="/v1/whoami"),
    _query("as_of=2026-03-01T00:00:00Z", "selector", "latest", "invalid_reference", f"{HOME}/resolve/latest"),
    *(_query("at=now", "query", "at", of=f"{HOME}/{rest}") for rest in ("resolve/production", "production")),
    *(_query(f"as_of={text}", "as_of", text[:4], code, of=f"{HOME}/{rest}")
      for rest in ("resolve/production", "production")
      for text, code in (("2026", "invalid_reference"), ("2026-03-01T00:00:00", "invalid_reference"),
                         ("1999-01-01T00:00:00Z", "as_of_out_of_range"),
                         ("9000-01-01T00:00:00Z", "as_of_out_of_range"))),
    _query("limit=0", "limit", "0", of=f"/v1/models/{MODEL}/history"),
    _query("page_token=x", "page_token", "x", "invalid_page_token", of=f"/v1/models/{MODEL}/history"),
    _query("type=nope", "type", "nope"),
    _query("stage=nope", "stage", "nope"),
    _query("stage=Production", "stage", "Production", of=f"/v1/models/{MODEL}/versions"),
    _query("tombstoned=maybe", "tombstoned", "maybe"),
    _query("tag=team", "tag", "team"),
    _query("tag=", "tag", ""),
    _query("tag==x", "tag", "", "invalid_name"),
    _query("&".join(["tag=a=b"] * 65), "tag", "65", "too_many_entries"),
    _query("&".join(["tag=a=b"] * 5_000), "tag", "5000", "too_many_entries"),
    _query("created_from=x", "created_from", "x"),
    _query("created_from=2026", "created_from", "2026"),
    _query("created_from=2026-01-01T00:00:00", "created_from", "2026-01-01T00:00:00"),
    _query("created_before=2026-02-30T00:00:00Z", "created_before", "2026-02-30"),
    _query("created_before=99999-01-01T00:00:00Z", "created_before", "99999"),
    _query("owner=" + "x" * 60_000, "owner", "xxx", "text_too_long"),
    _query("prefix=" + "x" * 129, "prefix", "xxx", "invalid_name"),
    _query("prefix=%25", "prefix", "%", "invalid_name"),
    _query("prefix=%F4%8F%BF%BF", "prefix", "\U0010ffff", "invalid_name"),
    _query("prefix=%ED%9F%BF", "prefix", "\ud7ff", "invalid_name"),
    _query("page_token=", "page_token", "", "invalid_page_token"),
    _query("page_token=../../etc/passwd", "page_token", "../..", "invalid_page_token"),
    _query("page_token=" + "A" * 10_000, "page_token", "AAA", "invalid_page_token", of="/v1/tokens"),
    Bad("a long name after two slashes", "GET", "//v1/models/" + "x" * 50_000, "not_found", "path", "//v1/models/xxx"),
]
# Method, path and body of good requests that together contain every text field.
TEXTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a model": ("POST", "/v1/models", {
        "name": "new", "type": "regression", "owner": "me", "description": "d", "tags": {"k": "v"},
        "metadata": {"k": "v"}}),
    "a change of a model": ("PATCH", f"/v1/models/{MODEL}", {
        "owner": "me", "description": "d", "tags": {"k": "v"}, "metadata": {"k": "v"}}),
    "a tombstone of a model": ("POST", f"/v1/models/{MODEL}/tombstone", {"reason": "because"}),
    "a version": ("POST", f"/v1/models/{MODEL}/versions", {
        "files": [ENTRY | {"media_type": "a/b"}], "framework": "f", "description": "d", "parameters": {"k": "v"},
        "metrics": {"k": 0.5}, "tags": {"k": "v"},
        "lineage": {"run": "r", "code_commit": "c", "data_digest": "d", "parent": "p"},
        "signature": {"inputs": [{"name": "n", "dtype": "f"}], "outputs": [{"name": "n", "dtype": "f"}]}}),
    "a change of a version": ("PATCH", ONE, {"description": "d", "tags": {"k": "v"}}),
    "a tombstone of a version": ("POST", f"{TWO}/tombstone", {"reason": "because"}),
    "a transition": ("POST", f"{ONE}/transition", {"to": "archived", "reason": "because"}),
    "a recall": ("POST", f"{ONE}/recall", {"reason": "because"}),
    "a rollback": ("POST", f"/v1/models/{MODEL}/rollback", {"reason": "because"}),
    "a policy": ("PUT", f"/v1/models/{MODEL}/policy", {"reason": "because", "rules": {
        "metrics": [{"metric": "auc", "direction": "at_least", "than": 0.5}], "tags": {"team": "fx"},
        "files": ["model.bin"], "windows": {"zone": "UTC", "closed": ["2026-12-24"], "hours": [
            {"days": ["monday"], "since": "09:00", "until": "17:00"}]}}}),
    "an alias": ("PUT", f"{ALIASES}/champion", {"version": 1, "reason": "because"}),
    "a principal": ("POST", "/v1/principals", {
        "name": "new", "kind": "human", "grants": [{"role": "admin", "models": "a-*"}]}),
    "grants": ("PATCH", "/v1/principals/admin", {"grants": [{"role": "admin", "models": "a-*"}]}),
}
# Changes that require the revision they are based on.
REVISED = {
    "a policy": ("PUT", f"/v1/models/{MODEL}/policy", {"rules": {"approvals": 1}, "reason": "x"}),
    "a recall": ("POST", f"{ONE}/recall", {"reason": "x"}),
    "a reinstatement": ("POST", f"{ONE}/reinstate", {"reason": "x"}),
    "a model": ("PATCH", f"/v1/models/{MODEL}", {"description": "x"}),
    "a tombstone of a model": ("POST", f"/v1/models/{MODEL}/tombstone", {"reason": "x"}),
    "a version": ("PATCH", ONE, {"description": "x"}),
    "a stage": ("POST", f"{ONE}/transition", {"to": "staging"}),
    "a tombstone of a version": ("POST", f"{TWO}/tombstone", {"reason": "x"}),
    "an alias": ("PUT", f"{ALIASES}/shadow", {"version": 2}),
    "a deletion of an alias": ("DELETE", f"{ALIASES}/shadow", None),
    "a principal": ("PATCH", "/v1/principals/admin", {"grants": []}),
}
# Paths in which a segment is a name, by the kind of name.
PATHS = {
    "model": ["/v1/models/{}", "/v1/models/{}/versions", "/v1/models/{}/versions/1", "/v1/models/{}/aliases",
              "/v1/models/{}/resolve/latest", "/v1/models/{}/versions/1/manifest", "/v1/models/{}/versions/1/files/a"],
    "alias": [f"{ALIASES}/{{}}", f"/v1/models/{MODEL}/resolve/@{{}}"],
    "selector": [f"/v1/models/{MODEL}/resolve/{{}}"],
    "digest": ["/v1/blobs/{}"],
    "file": [f"{ONE}/files/{{}}"],
    "principal": ["/v1/principals/{}"],
}
# fmt: on
