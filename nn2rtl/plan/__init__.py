"""Planning: engines, folding, FIFO depths, cost and exact timing."""
