"""Images: the OCI image-spec's nouns, layers unpacked for overlayfs, the store of this machine, registries, base stacks."""
