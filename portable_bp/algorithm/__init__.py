"""Backpropagation, written once: pure functions of arrays of any library that follows the array API standard."""
