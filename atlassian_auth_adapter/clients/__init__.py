"""The clients: a place, an authorization server, a store and the refresh put together."""
