"""One module per method: `ROWS`, `draw`, `measure`; see `benchmarks.contract.Rows`."""
