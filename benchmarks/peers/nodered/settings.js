// Nothing but the flow: no tours, no telemetry, warnings only.
module.exports = {
    flowFile: "flows.json",
    uiHost: "127.0.0.1",
    uiPort: Number(process.env.BENCH_NODERED_PORT || 18880),
    logging: { console: { level: "warn", metrics: false, audit: false } },
    telemetry: { enabled: false },
    editorTheme: { tours: false },
};
