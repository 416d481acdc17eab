"""What others recorded or a system shows, translated into steps of the contract."""
