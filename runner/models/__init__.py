"""Networks from their sources, their inputs, and the engines that run them."""
