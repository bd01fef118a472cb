"""Signing in with a browser: `login`, the receiver of the redirect, its pages, and pasting.

The folder is not called `login`: importing it would hide the function of that name at the top.
"""
