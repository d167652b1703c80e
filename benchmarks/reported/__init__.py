"""What is reported: results, targets, tables, plots."""
