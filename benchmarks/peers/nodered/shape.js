// The three fields of the flow's map that are computed; its change node has copied the others into msg.made.
const reading = msg.payload;
msg.made.temperature_f = reading.temperature * 9 / 5 + 32;
msg.made.pressure_bar = Math.round(reading.pressure * 0.0689476 * 1000) / 1000;
msg.made.place = reading.line + "/" + reading.station;
msg.payload = msg.made;
msg.topic = "out/x";
return msg;
