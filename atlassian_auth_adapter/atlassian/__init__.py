"""Atlassian, as dated data: products, sites, the gateway, and what its answers mean."""
