"""May this call proceed, for how long, at what price: decided once, purely, and explained."""
