"""One answer and its life: waiting in line, being written, being followed."""
