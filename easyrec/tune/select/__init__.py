"""Feature selection: what each feature is worth and costs, and the config without those that need not be."""
