"""The closed list of problem codes. `docs/problems.md` is made from it, so each sentence says what to do."""

from __future__ import annotations

CODES: dict[str, str] = {
    # the file
    "unreadable-file": "The file could not be read. Check its path and its permissions.",
    "file-too-large": "A graph file may have 4 MiB. Move data into files of its own.",
    "not-utf8": "The file is not UTF-8 text. Save it as UTF-8, without NUL or other control characters.",
    "yaml-syntax": "The text is not YAML. Look at the position and at the line before it.",
    "yaml-tab": "YAML does not allow tabs in indentation. Indent with spaces.",
    "yaml-documents": "A file holds one graph. Put each `---` document into a file of its own.",
    "yaml-tag": "Tags such as `!!python/object` or `!mine` mean nothing in a graph. Leave them out.",
    "yaml-key": "A key must be one word of text. Quote it, or look for a stray `?`, `[` or `{`.",
    "yaml-merge": (
        "Merge keys (`<<`) are not taken. Write the fields out; a whole value may be shared with `&name` and `*name`."
    ),
    "yaml-alias": (
        "An alias (`*name`) needs an anchor (`&name`) that ends before it. Move the anchor up or write the value out."
    ),
    "yaml-too-deep": "Values are nested more than 64 levels deep. A graph needs fewer than ten.",
    "yaml-too-many": "Aliases or sheer length make more than 100,000 values. Write a smaller file.",
    "yaml-ambiguous": (
        "YAML readers disagree about this plain word (`on`, `012`, `1:30`): some read a truth value or another "
        "number. Quote it if it is text, write true, false or a decimal number if it is not."
    ),
    "duplicate-key": "A key stands twice in one mapping; other readers silently keep the last. Remove one.",
    "empty-file": "The file holds no graph. Begin with `metadata`, `operations` and `connections`.",
    # trust
    "untrusted": (
        "The trust policy of this machine wants modules and models signed by a trusted key, and this one is not. "
        "Pull a signed version, or sign it with `flowrt store sign`."
    ),
    # variables
    "unset-variable": (
        "`${NAME}` has no value. Give `--set NAME=VALUE`, set the environment variable, or write `${NAME:-default}`."
    ),
    "unused-set": (
        "A `--set` names neither a `${VARIABLE}` nor a configuration parameter of the graph. Check its spelling."
    ),
    # fields
    "unknown-field": "This field does not exist here. Use the nearest name or remove it.",
    "missing-field": "A required field is missing. Add it.",
    "wrong-type": (
        "The value has another type than the field takes. Numbers and truth values that are meant as text need quotes."
    ),
    "wrong-value": "The field does not take this value. Use one of those named.",
    "out-of-range": "The value is outside the bounds of its field. Use one within.",
    "unknown-operation-type": "There is no such operationType. Use one of those named.",
    "arm-not-text": 'A connection\'s arm is text. Quote it: "True" or "False".',
    "missing-metadata": "A graph without metadata runs under its file's name. Add `metadata: {name: …, version: …}`.",
    "unknown-feature": "This version does not know the feature. The known one is wasi-nn.",
    "unknown-version": "Operators are written for versions 1.x of the interface. Other versions may not load.",
    "two-forms": (
        "`modules` is the short form of a whole graph. Write either `modules` or `operations` with `connections`."
    ),
    # resources of AIO
    "no-manifest": "The folder holds no DataflowGraph. Name a graph file, or add the resource.",
    "foreign-manifest": "The resource is none of AIO's data flow graphs and is passed over. Nothing needs to be done.",
    "unbound-reference": (
        "A resource names what is not in the folder: an endpoint, a definition, a secret. Say in bindings.yaml what "
        "stands in its place, as the message shows."
    ),
    "not-on-a-gateway": (
        "The resource asks for what only a cluster or a cloud has. Give it another in bindings.yaml or leave it out."
    ),
    "other-on-a-gateway": "AIO's way to do this has another form here. See the message.",
    # names and connections
    "duplicate-name": "Two things of one kind have the same name. Rename one.",
    "no-operations": "A graph needs operations. Add at least a source and a sink.",
    "unknown-operation": "A connection or configuration names an operation that does not exist. Correct the name.",
    "self-loop": "A connection leads from an operation to itself. Remove it.",
    "duplicate-connection": "The same connection stands twice; each message would arrive twice. Remove one.",
    "cycle": "Connections form a cycle, in which messages would run for ever. Remove one of them.",
    "source-with-input": "A source has no input. Connect to another operation.",
    "sink-with-output": "A sink has no output. Connect from another operation.",
    "no-input": "The operation has no input, so it never runs. Connect something to it or remove it.",
    "no-output": "The operation's output goes nowhere, so its messages are dropped. Connect it to another operation.",
    "unreachable": "No source leads to the operation, so it never runs. Connect it or remove it.",
    "missing-arm": (
        'A branch has two arms. Connect both "True" and "False", and name the arm in each connection from it.'
    ),
    "arm-without-branch": "Only a branch has arms. Remove `arm` or connect from a branch.",
    "unknown-schema": (
        "An operation or a connection names no entry of `schemas`, or none where one is needed. Correct the name or "
        "add the schema."
    ),
    "format-kind": "A decode and an encode have exactly one format. Keep one, or make several operations of it.",
    "bad-schema": "A schema has no text, or its text is no schema of its format. See the message.",
    "missing-extra": "What the graph uses needs an optional package. Run the pip command that the message names.",
    # endpoints
    "endpoint-kind": (
        "An endpoint has exactly one kind beside its name, and `onError.topic` needs one of kind mqtt. Keep one "
        "kind, or name another endpoint."
    ),
    "client-id-clash": (
        "Two endpoints have the same clientId at one broker, and each connection would end the other. Change one."
    ),
    "unreadable-secret": (
        "A certificate, key or secret that an endpoint names is not there or may not be read. On the gateway, put it "
        "there and let the service's user read it. Elsewhere this does not matter."
    ),
    "unknown-endpoint": "The operation names an endpoint that does not exist. Correct the name or add the endpoint.",
    "unbound": "A source or sink has no endpoint. Give it one, or bind it with `--bind NAME=URL`.",
    "bad-binding": (
        "A `--bind` is not `NAME=URL` for a source or sink of the graph, or its URL cannot be used. See the message."
    ),
    "missing-topic": "An MQTT source needs topics, and an MQTT sink a topic. Add them.",
    "bad-topic": "The text is not a valid MQTT topic or topic filter. `#` must be the last level, `+` a whole level.",
    "bad-template": (
        "A sink's topic template takes {topic}, {topic[N]}, {property.KEY} and {json.PATH}. Correct the placeholder."
    ),
    "topic-loop": (
        "An operation publishes what a source that feeds it reads at the same broker, so messages go round for "
        "ever. Use different topics."
    ),
    "queue-too-small": (
        "A queue or a spool is smaller than the outage that the endpoint declares. Raise it, or declare a shorter one."
    ),
    # transforms
    "transform-kind": (
        "A transform is exactly one of map, filter, branch, throttle or a window. Make an operation of each."
    ),
    "bad-builtin": (
        "A module names one of AIO's built-in transforms in a version, with a configuration or as an operationType "
        "that it has not. See the message."
    ),
    "bad-rules": "The rules of a transform are not what it takes, or its JSON text is no JSON. See the message.",
    "bad-expression": "An expression is wrong at this column. See the message, and try it with `flowrt expr`.",
    "bad-path": (
        'A path of a rule leads nowhere or may not stand there. Quote names with dots: `Payload."Tag.10".Value`.'
    ),
    # modules
    "missing-module": "The module's file was not found. Add `--modules DIR`, build it, or correct the name.",
    "bad-module-name": "A module is named `[path/]name[:tag]` and may not leave its folder. Correct the name.",
    "unreadable-module": "The module's file is not a WebAssembly module. Rebuild it.",
    "unsupported-module": (
        "This version runs core modules with the flowrt ABI only. Build the module with the C or Rust SDK."
    ),
    "unsupported-operation": "This version does not run this operation type. The graph can be checked and drawn.",
    "digest-mismatch": (
        "The file is not the one whose sha256 the graph names. Fetch the right file or correct the digest."
    ),
    "missing-export": "The module does not export what its operation type needs. Use another module or operationType.",
    "wrong-signature": (
        "A function of the module has another signature than docs/abi.md says. Rebuild it with a current SDK."
    ),
    "unknown-import": "The module imports what no host offers, so it cannot be started. Rebuild it without the import.",
    "component-grant": (
        "Only operator components can be granted folders, environment variables and the network. Remove the grant."
    ),
    "memory-above-quota": (
        "The module asks for more memory at its start, or the model's weights are more, than the quota. Raise "
        "resources.memory."
    ),
    "feature-missing": "The module uses wasi-nn but the graph does not declare it. Add `features: [{name: wasi-nn}]`.",
    # models and tensors
    "unknown-model": "The operation names a model that `models` does not list. Correct the name or add it.",
    "unknown-signature": (
        "The model's option `signature` names a function that the file does not have. `flowrt model show` lists those "
        "it has; leave the option out for formats without signatures."
    ),
    "missing-model": "The model's file was not found. Paths are relative to the graph's folder.",
    "missing-engine": (
        "This machine has no engine for the model's format. Install the extra that the message names, convert the "
        "model, or declare a `fallback`."
    ),
    "unreadable-model": "The model's file could not be read as its encoding. Export it again or correct the encoding.",
    "native-code": (
        "Libraries of custom operators are native code, which no sandbox holds. They are for ONNX models, and whatever "
        "runs such a model needs `resources: {isolation: process}`."
    ),
    "bad-library": (
        "A library of custom operators was not found or is no shared library. Paths are relative to the graph's folder."
    ),
    "tensor-mismatch": (
        "One operation's output tensors cannot be the next one's input. Use a module or model that fits."
    ),
    "batch-too-large": (
        "The model has no free first dimension, so batch.max has no effect. Export it with a free one, or remove "
        "batch.max."
    ),
    # quotas and configuration
    "cpu-over-machine": "The declared cpu quotas add up to more than the machine has. Lower some of them.",
    "memory-over-machine": "The declared memory quotas add up to more than the machine has. Lower some of them.",
    "cpu-over-graph": (
        "The declared cpu quotas add up to more than the graph's own `resources.cpu`: not all can have theirs at once. "
        "Lower some, or raise the graph's."
    ),
    "memory-over-graph": (
        "The memory quotas, defaults included, add up to more than the graph's own `resources.memory`: a guest may be "
        "refused memory below its quota. Lower some, or raise the graph's."
    ),
    "no-bypass": (
        "Messages can bypass what has one way in and one way out: map, filter and inference. Use throttle, drop or "
        "restart."
    ),
    "quota-without-effect": "The operation runs no code of its own that this quota could bound. Remove it.",
    "no-delay": (
        "An accumulate folds what shares a logical time, and only a delay makes several messages share one. Put a "
        "delay before it."
    ),
    "no-state": "`keepState: disk` needs a module that exports flowrt_save and flowrt_restore. Remove keepState.",
    "state-in-memory": (
        "The module keeps a state that a stop or a crash loses, while the messages that it came of were acknowledged "
        "and do not come again. Write `keepState: disk`, or `keepState: memory` where a state that begins empty may be."
    ),
    "isolation-refused": "An operation that keeps messages on disk runs in flowrt's own process. Remove `isolation`.",
    "missing-parameter": "A required parameter has no value. Give `--set KEY=VALUE` or a default.",
    "duplicate-parameter": "Two parameters give the module the same name. Rename one.",
    "not-for-workers": (
        "The graph cannot be divided among processes by topic. Run it without --workers, or write `state: perTopic` "
        "for a module that keeps each topic's state apart."
    ),
    # portability
    "not-portable": "Azure IoT Operations would not take this. Matters only where the graph is to run there too.",
}
"""Code to what is wrong in general and what to do; a problem's own message names the node and what was found."""
