"""What pages of the documentation take from the program itself when they are built, so that nothing goes stale."""
