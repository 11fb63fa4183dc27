"""A shop: a basket priced by the server, paid in the page, sent when a webhook says it is paid."""
