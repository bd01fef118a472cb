"""SDKs that take no auth object: one module each, imported only by whoever uses the SDK."""
