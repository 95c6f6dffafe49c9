"""Values that the registry sends and takes, one module per resource; requests are strict, answers ignore new fields."""
