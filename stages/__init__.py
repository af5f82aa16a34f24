"""One Typer command per DVC stage: options, then one call into `ala.pipeline`."""
