"""The same job as one writes it in an hour: paho-mqtt and ONNX Runtime, no sandbox, no quotas, no delivery.

Usage: python thirty_lines.py PORT QOS MODEL     Runs until SIGTERM.
"""

import json
import sys

import numpy as np
import onnxruntime as ort
import paho.mqtt.client as mqtt

port, qos, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def on_message(client, _, message):
    values = np.asarray(json.loads(message.payload)["v"], np.float32) * np.float32(0.1)
    output = session.run(None, {"x": values.reshape(1, 16)})[0]
    score = float((output * output).sum())
    client.publish("out/x", json.dumps({"score": score, "anomaly": score > 5}), qos)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "bench-paho", protocol=mqtt.MQTTv5)
client.on_connect = lambda client, *_: client.subscribe("in/#", qos)
client.on_message = on_message
client.max_queued_messages_set(0)
client.connect("127.0.0.1", port)
client.loop_forever()
