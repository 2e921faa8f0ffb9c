"""What the kernels share: register tiles, borders, epilogues, vector code, threads."""
