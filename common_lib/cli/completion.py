"""The command `registry completion`, which prints a script that completes commands and options in a shell."""

import rich_click as click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell; for bash: eval "$(registry completion bash)"."""
    name = "registry"
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"completion is not supported in {shell}")
    script = kind(ctx.find_root().command, {}, name, f"_{name.upper()}_COMPLETE")
    # `source()` would first run bash to read its version, and bash may not be installed.
    click.echo(script.source_template % script.source_vars(), nl=False)
