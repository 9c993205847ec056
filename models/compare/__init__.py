"""Compare: any methods and baselines on the same inputs, on one fair sheet. Plain."""
