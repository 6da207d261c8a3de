"""Two nodes introduce themselves to each other over the crossover bond."""
