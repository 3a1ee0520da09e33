"""What a person looks at: one report as data, and its presentations."""
