"""SDKs that take no auth object: one module each, imported only by programs that use the SDK."""
