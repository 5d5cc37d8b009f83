"""The built-in bases, data and benchmarks of the demo."""
