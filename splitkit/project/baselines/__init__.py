"""The ways that a found split is compared with, each made, trained and predicted like the split itself."""
