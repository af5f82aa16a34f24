"""Where shards are computed: one file per executor (`executor.kind` in params.yaml, or `package.module:Class`)."""
