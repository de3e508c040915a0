"""Do our numbers agree with the peers' where definitions agree: their packages' answers, kept as a fixture of tests."""
