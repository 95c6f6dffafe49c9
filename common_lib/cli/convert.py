"""`registry convert`."""

import re

import rich_click as click

from common_lib.cli import show
from common_lib.cli.session import Session, connected
from common_lib.rules.names import SHA256


def _digests(_context: click.Context, _option: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    for word in words:
        if not re.match(SHA256, word.removeprefix("sha256:")):
            raise click.BadParameter(f"{word!r} is no digest: write 64 lower-case hexadecimal digits")
    return words


@click.command()
@click.argument("reference")
@click.option(
    "--trust",
    required=True,
    multiple=True,
    metavar="DIGEST",
    callback=_digests,
    help="The digest of the version or of its file, whose code you are ready to run; may be repeated.",
)
@click.option("--file", metavar="PATH", help="Which file of the version it is, if several could be meant.")
@connected
def convert(session: Session, *, reference: str, trust: tuple[str, ...], file: str | None) -> None:
    """Save a pickle, or a file of joblib or torch, in a safe format as the next version of its model.

    To read the old file runs the code that it holds, on this machine: trust only what you know the maker of.
    """
    with session.busy(f"Converting {reference} …"):
        version = session.registry.convert(reference, trust=set(trust), file=file)
    session.answer(
        version, lambda: show.text(f"{version.reference} is {reference} in the format of {version.framework}")
    )
