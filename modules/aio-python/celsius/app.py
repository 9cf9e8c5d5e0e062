"""A template for operators in Python: Fahrenheit to Celsius (map), and only what is warm enough (filter).

`flowrt modules build modules/aio-python` makes `celsius.wasm` of it; docs/operators.md explains it.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import logger, metrics, types

# What `init` learns belongs into the module: `self` is another object in every call.
settings = {"offset": 32.0, "least": 20.0}


def learn(configuration: types.ModuleConfiguration) -> bool:
    """Take the parameters that are set. False: the graph does not start."""
    try:
        settings.update({key: float(value) for key, value in configuration.properties if key in settings})
    except ValueError as error:
        logger.log(logger.Level.ERROR, "init", str(error))
        return False
    return True


def payload_of(model: types.DataModel) -> bytes:
    """The bytes of a message: they are given whole, or stay with the host until they are read."""
    if not isinstance(model, types.DataModel_Message):
        raise Err(types.Error("it takes messages"))
    payload = model.value.payload
    return payload.value.read() if isinstance(payload, types.BufferOrBytes_Buffer) else payload.value


def reading_of(model: types.DataModel, key: str) -> dict:
    """The payload as JSON with a number at `key`. `Err` loses this message alone, and it goes where `onError` says; any
    other exception ends the instance."""
    try:
        reading = json.loads(payload_of(model))
        float(reading[key])
    except (ValueError, TypeError, KeyError) as error:
        raise Err(types.Error(f"no number at {key}: {error}")) from error
    return reading


class Map(exports.Map):
    """Adds the degrees Celsius."""

    def init(self, configuration: types.ModuleConfiguration) -> bool:
        return learn(configuration)

    def process(self, message: types.DataModel) -> types.DataModel:
        reading = reading_of(message, "f")
        reading["c"] = (reading["f"] - settings["offset"]) * 5 / 9
        message.value.payload = types.BufferOrBytes_Bytes(json.dumps(reading).encode())
        return message


class Filter(exports.Filter):
    """Lets what is warm enough pass."""

    def init(self, configuration: types.ModuleConfiguration) -> bool:
        return learn(configuration)

    def process(self, message: types.DataModel) -> bool:
        warm = reading_of(message, "c")["c"] >= settings["least"]
        if warm:
            metrics.add_to_counter("warm", metrics.CounterValue_U64(1), None)
        return warm
