"""The command atlassian-auth: a file for each of its commands."""
