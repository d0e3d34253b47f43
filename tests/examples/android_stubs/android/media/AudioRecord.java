package android.media;

/** A microphone that hears 1, 2, 3, ... of 2^20, in pieces of at most 1,000 samples. */
public class AudioRecord {
    public static final int STATE_INITIALIZED = 1;
    public static final int READ_BLOCKING = 0;

    public static boolean released;

    private int heard;

    public AudioRecord(int source, int sampleRate, int channels, int encoding, int bytes) {}

    public static int getMinBufferSize(int sampleRate, int channels, int encoding) {
        return 1280;
    }

    public int getState() {
        return STATE_INITIALIZED;
    }

    public void startRecording() {}

    public int read(float[] samples, int offset, int size, int mode) {
        int count = Math.min(size, 1000);
        for (int i = 0; i < count; i++) {
            samples[offset + i] = ++heard / (float) (1 << 20);
        }
        return count;
    }

    public void stop() {}

    public void release() {
        released = true;
    }
}
