"""A person with a browser: the receiver of the redirect, its pages, and pasting instead.

The folder is not called `login`: importing it would hide the function of that name at the top.
"""
