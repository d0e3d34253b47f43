package org.tensorflow.lite;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/** LiteRT's interpreter as the app sees it; a Python process (litert_server.py) runs the model. */
public final class Interpreter implements AutoCloseable {
    public static class Options {
        public Options setNumThreads(int threads) {
            return this;
        }
    }

    private final Process server;
    private final DataOutputStream requests;
    private final DataInputStream replies;
    private final Map<String, Tensor> outputTensors = new HashMap<>();

    public Interpreter(File model, Options options) {
        try {
            server =
                    new ProcessBuilder(
                                    System.getProperty("python"),
                                    System.getProperty("server"),
                                    model.getPath())
                            .redirectError(ProcessBuilder.Redirect.INHERIT)
                            .start();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        requests = new DataOutputStream(server.getOutputStream());
        replies = new DataInputStream(server.getInputStream());
    }

    public void runSignature(
            Map<String, Object> inputs, Map<String, Object> outputs, String signature) {
        try {
            requests.writeUTF(signature);
            requests.writeInt(inputs.size());
            for (Map.Entry<String, Object> input : inputs.entrySet()) {
                requests.writeUTF(input.getKey());
                write(input.getValue());
            }
            requests.flush();
            outputTensors.clear();
            for (int remaining = replies.readInt(); remaining > 0; remaining--) {
                outputTensors.put(replies.readUTF(), read());
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        outputs.forEach((name, array) -> copy(outputTensors.get(name), (int[]) array));
    }

    public Tensor getOutputTensorFromSignature(String output, String signature) {
        return outputTensors.get(output);
    }

    @Override
    public void close() {
        server.destroy();
    }

    private void write(Object array) throws IOException {
        if (array instanceof int[]) {
            int[] values = (int[]) array;
            writeHeader("int32", values.length);
            for (int value : values) {
                requests.writeInt(value);
            }
        } else {
            float[][] rows = (float[][]) array; // only arrays resize an input; buffers end here
            writeHeader("float32", rows.length, rows[0].length);
            for (float[] row : rows) {
                for (float value : row) {
                    requests.writeFloat(value);
                }
            }
        }
    }

    private void writeHeader(String type, int... shape) throws IOException {
        requests.writeUTF(type);
        requests.writeInt(shape.length);
        for (int size : shape) {
            requests.writeInt(size);
        }
    }

    /** A tensor of four-byte numbers, in this machine's byte order as in LiteRT's memory. */
    private Tensor read() throws IOException {
        int[] shape = new int[replies.readInt()];
        int elements = 1;
        for (int i = 0; i < shape.length; i++) {
            shape[i] = replies.readInt();
            elements *= shape[i];
        }
        ByteBuffer data = ByteBuffer.allocateDirect(4 * elements).order(ByteOrder.nativeOrder());
        for (int i = 0; i < elements; i++) {
            data.putInt(replies.readInt());
        }
        data.flip();
        return new Tensor() {
            @Override
            public int[] shape() {
                return shape;
            }

            @Override
            public ByteBuffer asReadOnlyBuffer() {
                if (data.capacity() == 0) {
                    throw new IllegalArgumentException("LiteRT has no buffer of zero bytes.");
                }
                return data.asReadOnlyBuffer().order(ByteOrder.nativeOrder());
            }
        };
    }

    private static void copy(Tensor tensor, int[] array) {
        if (!Arrays.equals(tensor.shape(), new int[] {array.length})) {
            throw new IllegalArgumentException("An array's shape must be the tensor's.");
        }
        tensor.asReadOnlyBuffer().asIntBuffer().get(array);
    }
}
