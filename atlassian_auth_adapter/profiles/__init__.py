"""Profiles: what a person sets up once, so that scripts need no secret in their source."""
