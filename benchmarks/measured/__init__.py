"""What is measured: the rows, and the competitors in them."""
