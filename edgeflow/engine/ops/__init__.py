"""The operations a body can wait for, one to a file."""
