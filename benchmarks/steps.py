"""Steps that prepare a registry by plain HTTP requests, without the client library, whose cost must not be measured."""

import hashlib
import json
import uuid
from typing import Any

from benchmarks.harness import Client, request

WEIGHTS = b"weights of a small model" * 40
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


def facts(number: int = 0) -> dict[str, Any]:
    """Return the body of `create version` as a training script sends it; each number gives another manifest."""
    return {
        "files": [
            {"path": f"model-{number}.skops", "size": len(WEIGHTS), "sha256": SHA256},
            {"path": "config.json", "size": len(WEIGHTS), "sha256": SHA256, "media_type": "application/json"},
        ],
        "framework": "scikit-learn",
        "description": "HAR ridge on the last 500 days",
        "parameters": {"alpha": 0.5, "window_days": 500, "features": "har", "intercept": True},
        "metrics": {"rmse": 0.47, "mae": 0.33, "r2": 0.21},
        "signature": {
            "inputs": [{"name": "returns", "dtype": "float64", "shape": [-1, 22]}],
            "outputs": [{"name": "volatility", "dtype": "float64", "shape": [-1]}],
        },
        "lineage": {"run": "run-2026-03-01", "code_commit": "3d4a0d4", "data_digest": f"sha256:{SHA256}"},
        "tags": {"team": "fx", "horizon": "1d"},
    }


def creation(token: str, name: str, number: int) -> bytes:
    """Return the request that creates a version."""
    return change("POST", f"/v1/models/{name}/versions", token, facts(number))


def change(method: str, path: str, token: str, body: dict[str, Any], **headers: str) -> bytes:
    """Return a write request with a new idempotency key."""
    key = uuid.uuid4().hex
    return request(method, path, token=token, body=json.dumps(body).encode(), idempotency_key=key, **headers)


def model(client: Client, token: str, name: str) -> str:
    """Create a model and upload the bytes of its versions."""
    upload = request("PUT", f"/v1/blobs/{SHA256}", token=token, body=WEIGHTS, content_type="application/octet-stream")
    answer = client.send(upload)
    if answer.status not in {200, 201}:
        raise RuntimeError(f"the upload failed: {answer}")
    tags = {"team": "fx", "asset": "eurusd"}
    client.expect(201, change("POST", "/v1/models", token, {"name": name, "type": "forecasting", "tags": tags}))
    return name


def model_in_production(client: Client, token: str, name: str) -> str:
    """Create a model whose first version is in production."""
    model(client, token, name)
    client.expect(201, creation(token, name, 0))
    path = f"/v1/models/{name}/versions/1/transition"
    for stage in ("staging", "production"):
        client.expect(200, change("POST", path, token, {"to": stage, "reason": "it is better"}, if_match="*"))
    return name
