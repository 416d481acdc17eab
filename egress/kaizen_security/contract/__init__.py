"""The contract: the values that every part of Kaizen exchanges, and the pure functions over them."""
