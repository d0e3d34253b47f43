/**
 * Gives a .tflite file's inputs and outputs fixed shapes, in memory.
 *
 * LiteRT.js runs no input of open size (its `run` refuses Int32[1] where the file says Int32[-1]) and
 * sizes each output's buffer by the shape that the file states. Both are numbers in the file, four
 * bytes per dimension, that can be overwritten in place: the operators still work out their own
 * shapes when they run. The file is a FlatBuffer; the field numbers are those of TFLite's schema.fbs.
 */

const MODEL_SUBGRAPHS = 2;
const MODEL_SIGNATURES = 7;
const SUBGRAPH_TENSORS = 0;
const TENSOR_SHAPE = 0;
const TENSOR_SHAPE_SIGNATURE = 7;
const SIGNATURE_INPUTS = 0;
const SIGNATURE_OUTPUTS = 1;
const SIGNATURE_KEY = 2;
const SIGNATURE_SUBGRAPH = 4;
const TENSOR_MAP_NAME = 0;
const TENSOR_MAP_INDEX = 1;

/** Reads a FlatBuffer's tables: positions in, positions out; 0 stands for "not there". */
class Tables {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  root() {
    return this.view.getUint32(0, true);
  }

  /** Where `field` of the table at `table` is. */
  field(table, field) {
    const vtable = table - this.view.getInt32(table, true);
    const entry = 4 + 2 * field;
    if (entry >= this.view.getUint16(vtable, true)) return 0;
    const offset = this.view.getUint16(vtable + entry, true);
    return offset && table + offset;
  }

  number(table, field) {
    const at = this.field(table, field);
    return at && this.view.getUint32(at, true);
  }

  /** What `field` refers to: a vector or a string. */
  reference(table, field) {
    const at = this.field(table, field);
    return at && at + this.view.getUint32(at, true);
  }

  text(table, field) {
    const at = this.reference(table, field);
    const length = this.view.getUint32(at, true);
    return new TextDecoder().decode(this.bytes.subarray(at + 4, at + 4 + length));
  }

  /** The positions of a vector's tables. */
  tables(table, field) {
    const at = this.reference(table, field);
    const length = at && this.view.getUint32(at, true);
    return Array.from({ length }, (_, i) => {
      const item = at + 4 + 4 * i;
      return item + this.view.getUint32(item, true);
    });
  }

  /** A vector of integers: its values and where they start. */
  integers(table, field) {
    const at = this.reference(table, field);
    if (!at) return null;
    const length = this.view.getUint32(at, true);
    const values = Array.from({ length }, (_, i) => this.view.getInt32(at + 4 + 4 * i, true));
    return { start: at + 4, values };
  }
}

/** Every signature's tensors: {signature: {name: position of the tensor's table}}. */
function signatureTensors(tables) {
  const model = tables.root();
  const subgraphs = tables.tables(model, MODEL_SUBGRAPHS);
  const signatures = {};
  for (const signature of tables.tables(model, MODEL_SIGNATURES)) {
    const subgraph = subgraphs[tables.number(signature, SIGNATURE_SUBGRAPH)];
    const tensors = tables.tables(subgraph, SUBGRAPH_TENSORS);
    const named = [
      ...tables.tables(signature, SIGNATURE_INPUTS),
      ...tables.tables(signature, SIGNATURE_OUTPUTS),
    ].map((map) => [
      tables.text(map, TENSOR_MAP_NAME),
      tensors[tables.number(map, TENSOR_MAP_INDEX)],
    ]);
    signatures[tables.text(signature, SIGNATURE_KEY)] = Object.fromEntries(named);
  }
  return signatures;
}

/** The shape of a tensor, -1 where it is open. */
function shapeOf(tables, tensor) {
  return (
    tables.integers(tensor, TENSOR_SHAPE_SIGNATURE) ?? tables.integers(tensor, TENSOR_SHAPE)
  )?.values;
}

/** {signature: {tensor: shape}}, with -1 for a dimension of open size. */
export function signatureShapes(bytes) {
  const tables = new Tables(bytes);
  const shapes = {};
  for (const [signature, tensors] of Object.entries(signatureTensors(tables))) {
    const entries = Object.entries(tensors).map(([name, at]) => [name, shapeOf(tables, at) ?? []]);
    shapes[signature] = Object.fromEntries(entries);
  }
  return shapes;
}

/** A copy of the file whose signatures' tensors have `shapes`: {signature: {tensor: shape}}. */
export function withStaticShapes(bytes, shapes) {
  const tables = new Tables(bytes.slice());
  const signatures = signatureTensors(tables);
  for (const [signature, tensors] of Object.entries(shapes)) {
    for (const [name, shape] of Object.entries(tensors)) {
      for (const field of [TENSOR_SHAPE, TENSOR_SHAPE_SIGNATURE]) {
        const integers = tables.integers(signatures[signature][name], field);
        if (!integers) continue;
        shape.forEach((size, i) => tables.view.setInt32(integers.start + 4 * i, size, true));
      }
    }
  }
  return tables.bytes;
}
