"""HTTP libraries: one module each, all by the same rules."""
