"""The demo: four services and a registry on the real rates of the European Central Bank."""
