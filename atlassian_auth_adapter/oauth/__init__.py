"""The IETF, reached through Authlib: RFC 6749, RFC 7009 and RFC 7636 as Atlassian uses them."""
