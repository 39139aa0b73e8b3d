"""Pure metrics: columns in, numbers with their uncertainty out."""
