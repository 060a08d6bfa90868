"""What the commands do, as plain functions without a command line."""
