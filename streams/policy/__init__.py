"""Policy at every decision point: the port (`port`), Cedar policy sets (`cedar`), combination (`gate`). Pure."""
