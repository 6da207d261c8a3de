"""Two nodes wrote apart: what each knows of its half, and whose changes may be given up."""
