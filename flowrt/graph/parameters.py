"""A module's configuration parameters and the values they get.

AIO matches a value by the parameter's key in the file; its guests see the parameter's `name`. Both are taken as a key
here, alone or as `OPERATION.KEY`, and the guest is given `name`. A parameter without value and default is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flowrt.graph.model import GraphFile, Parameter


def properties_of(file: GraphFile, operation: str, sets: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What the operation's guest is given: name and value of each parameter that has one."""
    given = {}
    for key, parameter in parameters_of(file, operation):
        value = value_of(operation, key, parameter, sets)
        if value is not None:
            given[parameter.name] = value
    return tuple(given.items())


def parameters_of(file: GraphFile, operation: str) -> Iterator[tuple[str, Parameter]]:
    """Key and parameter, in the file's order."""
    for configuration in file.module_configurations:
        if configuration.name == operation:
            yield from configuration.parameters.items()


def keys_of(operation: str, key: str, parameter: Parameter) -> tuple[str, ...]:
    """The keys that `--set` may use, the most exact first."""
    return (f"{operation}.{key}", f"{operation}.{parameter.name}", key, parameter.name)


def value_of(operation: str, key: str, parameter: Parameter, sets: Mapping[str, str]) -> str | None:
    """The value of `--set`, or the default, which may hold variables."""
    found = next((sets[name] for name in keys_of(operation, key, parameter) if name in sets), None)
    return parameter.default if found is None else found
