package org.tensorflow.lite;

import java.nio.ByteBuffer;

public interface Tensor {
    int[] shape();

    ByteBuffer asReadOnlyBuffer();
}
