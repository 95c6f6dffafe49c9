"""In what two versions of a model differ: parameters, metrics, signature, lineage, files."""

import asyncio
from typing import Final

import msgspec

from common_lib.rules import comparison
from common_lib.rules.comparison import Part, Scalar
from registry_server.core import versions
from registry_server.core.ports import Database
from registry_server.core.rights import Caller
from registry_server.domain.artifacts import Manifest
from registry_server.domain.diff import Difference, VersionDiff
from registry_server.domain.versions import ModelVersion

_AT_ONCE: Final = 500


async def compare(database: Database, caller: Caller, name: str, left: int, right: int) -> VersionDiff:
    """All that either version has, part by part."""
    sides = []
    for number in (left, right):
        version = await versions.get(database, caller, name, number)
        sides.append(_parts(version, await versions.manifest_of(database, caller, name, number)))
        await asyncio.sleep(0)
    items = []
    for found in comparison.compared(*sides):
        items.append(Difference(*found))
        if len(items) % _AT_ONCE == 0:
            # Ten thousand files on each side: others have their turn in between, and a deadline its effect.
            await asyncio.sleep(0)
    return VersionDiff(name, left, right, items)


def _parts(version: ModelVersion, manifest: Manifest) -> dict[Part, dict[str, Scalar]]:
    lineage = msgspec.structs.asdict(version.lineage) if version.lineage else {}
    return {
        Part.ABOUT: {"stage": str(version.stage), "framework": version.framework, "bytes": version.size},
        Part.PARAMETERS: dict(version.parameters),
        Part.METRICS: dict(version.metrics),
        Part.SIGNATURE: comparison.described(version.signature),
        Part.LINEAGE: {name: said for name, said in lineage.items() if said is not None},
        Part.FILES: {file.path: f"sha256:{file.sha256} {file.size}" for file in manifest.files},
    }
