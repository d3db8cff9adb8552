"""Search of settings: spaces in a config, trials that train its points, and the config of the best one."""
