"""Modules, models and graphs by name, version and digest: kept whole, checked, signed, carried between gateways."""
