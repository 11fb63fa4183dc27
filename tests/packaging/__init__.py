"""The built wheel, tested where neither the sources nor the development tools are."""
