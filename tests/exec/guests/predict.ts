// A command in AssemblyScript that drives a model as its users do: `load_by_name` with the name in ARG 1, one row of three
// f32 (1, 2, 3) in, the output printed as numbers. It ends with the errno that a call was refused with.

@external("wasi_ephemeral_nn", "load_by_name")
declare function load_by_name(name: usize, size: usize, graph: usize): u32;
@external("wasi_ephemeral_nn", "init_execution_context")
declare function init_execution_context(graph: u32, context: usize): u32;
@external("wasi_ephemeral_nn", "set_input")
declare function set_input(context: u32, index: u32, tensor: usize): u32;
@external("wasi_ephemeral_nn", "compute")
declare function compute(context: u32): u32;
@external("wasi_ephemeral_nn", "get_output")
declare function get_output(context: u32, index: u32, out: usize, room: usize, written: usize): u32;
@external("wasi_snapshot_preview1", "proc_exit")
declare function proc_exit(code: u32): void;
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: u32, vectors: usize, count: usize, written: usize): u32;

@unmanaged class Tensor {
  dims: usize;
  rank: u32;
  type: u8;
  data: usize;
  size: u32;
}

function told(errno: u32): void {
  if (errno) proc_exit(errno);
}

function print(data: usize, size: u32): void {
  const vector = memory.data(8);
  store<usize>(vector, data);
  store<u32>(vector, size, 4);
  told(fd_write(1, vector, 1, memory.data(4)));
}

function abort(message: usize, file: usize, line: u32, column: u32): void {
  proc_exit(134);
}

export function _start(): void {
  const name = String.UTF8.encode("m");
  const handle = memory.data(4);
  told(load_by_name(changetype<usize>(name), name.byteLength, handle));
  told(init_execution_context(load<u32>(handle), handle));
  const context = load<u32>(handle);
  const dims: StaticArray<u32> = [1, 3];
  const values: StaticArray<f32> = [1, 2, 3];
  const tensor = changetype<Tensor>(memory.data(offsetof<Tensor>()));
  tensor.dims = changetype<usize>(dims);
  tensor.rank = 2;
  tensor.type = 1;
  tensor.data = changetype<usize>(values);
  tensor.size = 12;
  told(set_input(context, 0, changetype<usize>(tensor)));
  told(compute(context));
  const out = memory.data(64);
  told(get_output(context, 0, out, 64, handle));
  print(out, load<u32>(handle));
}
