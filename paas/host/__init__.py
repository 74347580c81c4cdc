"""The only hands on processes and files."""
