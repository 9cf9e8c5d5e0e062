// The body of the flow's function node: scale, network, score. It keeps its weights in the node's context.
let layers = context.get("layers");
if (!layers) {
    const sizes = [16, 32, 8, 32, 16];
    layers = sizes.slice(1).map((outputs, k) => {
        const inputs = sizes[k];
        const weights = Float32Array.from({ length: inputs * outputs }, (_, i) => Math.sin(i) / Math.sqrt(inputs));
        return { inputs, outputs, weights };
    });
    context.set("layers", layers);
}
let x = Float32Array.from(msg.payload.v, (value) => value * 0.1);
for (let k = 0; k < layers.length; k++) {
    const { inputs, outputs, weights } = layers[k];
    const y = new Float32Array(outputs);
    for (let i = 0; i < inputs; i++) {
        const value = x[i];
        const row = i * outputs;
        for (let j = 0; j < outputs; j++) y[j] += value * weights[row + j];
    }
    if (k < layers.length - 1) for (let j = 0; j < outputs; j++) if (y[j] < 0) y[j] = 0;
    x = y;
}
let score = 0;
for (const value of x) score += value * value;
msg.payload = { score, anomaly: score > 5 };
msg.topic = "out/x";
return msg;
