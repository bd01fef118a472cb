"""Private files and kernel locks; stores, profiles and keys use them."""
