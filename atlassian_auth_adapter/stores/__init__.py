"""Whoever keeps tokens; a store owns its lock."""
